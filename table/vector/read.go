package vector

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table/dv"

	"github.com/firthlake/firth/table/objstore"
)

const (
	// blobBytesMax bounds a vector that is read: two billion rows with every second one deleted.
	blobBytesMax = 256 << 20
	// headBytes are length, magic and the number of bitmaps, tailBytes the checksum.
	headBytes, tailBytes = 16, 4
	// bitmapBytesMin is the least that a bitmap of 32-bit positions takes: its key, and an empty bitmap.
	bitmapBytesMin = 12
)

// ErrDamaged says that the bytes of a vector are none.
var ErrDamaged = errors.New("damaged deletion vector")

// The columns of position delete files, and the one that vectors are about (Iceberg spec, "Reserved Field IDs").
const (
	fieldIDPath        = 2147483546
	fieldIDPos         = 2147483545
	fieldIDRowPosition = 2147483645
)

// DataFile is the location of the one data file that a delete file is about, or "" when there may be
// several.
func DataFile(file iceberg.DataFile) string {
	if file.ContentType() != iceberg.EntryContentPosDeletes {
		return ""
	}
	if path := file.ReferencedDataFile(); path != nil {
		return *path
	}
	low, hasLow := file.LowerBoundValues()[fieldIDPath]
	high, hasHigh := file.UpperBoundValues()[fieldIDPath]
	if hasLow && hasHigh && bytes.Equal(low, high) {
		return string(low)
	}
	return ""
}

// Read reads the vector that a manifest describes, by one request.
func Read(
	ctx context.Context, store objstore.Store, file iceberg.DataFile,
) (*dv.RoaringPositionBitmap, error) {
	offset, size := file.ContentOffset(), file.ContentSizeInBytes()
	if offset == nil || size == nil {
		return nil, fmt.Errorf("vector in %s: its manifest entry has no offset or size: %w",
			file.FilePath(), ErrDamaged)
	}
	if *offset < 0 || *size < 0 || *size > blobBytesMax {
		return nil, fmt.Errorf("vector in %s: %d bytes at %d: %w", file.FilePath(), *size, *offset, ErrDamaged)
	}
	body, err := store.Get(ctx, file.FilePath(), *offset, *size)
	if err != nil {
		return nil, fmt.Errorf("read vector in %s: %w", file.FilePath(), err)
	}
	blob, err := io.ReadAll(io.LimitReader(body, *size))
	if err = errors.Join(err, body.Close()); err != nil {
		return nil, fmt.Errorf("read vector in %s: %w", file.FilePath(), err)
	}
	positions, err := Decode(blob, file.Count())
	if err != nil {
		return nil, fmt.Errorf("vector in %s at %d: %w", file.FilePath(), *offset, err)
	}
	return positions, nil
}

// Decode reads a blob of type deletion-vector-v1 that holds the given number of positions.
func Decode(blob []byte, cardinality int64) (_ *dv.RoaringPositionBitmap, err error) {
	defer func() {
		if fault := recover(); fault != nil { // the library's, on bytes with a checksum that is right
			err = fmt.Errorf("%w: %v", ErrDamaged, fault)
		}
	}()
	if cardinality < 0 {
		return nil, fmt.Errorf("%w: it is said to hold %d positions", ErrDamaged, cardinality)
	}
	if err := checkBitmaps(blob); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	positions, err := dv.DeserializeDV(blob, cardinality)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return positions, nil
}

// checkBitmaps holds every bitmap against the form, which the library trusts: it takes memory for as many as
// are announced, and reads containers out of order without a word.
func checkBitmaps(blob []byte) error {
	if len(blob) < headBytes+tailBytes {
		return fmt.Errorf("%d bytes are too few", len(blob))
	}
	count := binary.LittleEndian.Uint64(blob[headBytes-8:])
	body := bytes.NewReader(blob[headBytes : len(blob)-tailBytes])
	if count > uint64(body.Len())/bitmapBytesMin {
		return fmt.Errorf("%d bitmaps in %d bytes", count, body.Len())
	}
	var key [4]byte
	bitmap := roaring.New()
	for range count {
		if _, err := io.ReadFull(body, key[:]); err != nil {
			return fmt.Errorf("read key: %w", err)
		}
		if _, err := bitmap.ReadFrom(body); err != nil {
			return fmt.Errorf("read bitmap: %w", err)
		}
		if err := bitmap.Validate(); err != nil {
			return fmt.Errorf("bitmap %d: %w", binary.LittleEndian.Uint32(key[:]), err)
		}
	}
	return nil
}
