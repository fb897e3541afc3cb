package commit

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/apache/iceberg-go/puffin"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/table/objstore"
)

// BlobRanges is the type of the Puffin blob that holds the ranges of one commit.
const BlobRanges puffin.BlobType = "firth-ranges-v1"

// rangesInlineBytesMax is how large coded ranges may be in a snapshot summary. With fewer than 100
// snapshots they then add at most 200 KB to metadata.json; about 120 topic partitions fit.
const rangesInlineBytesMax = 2048

// rangesBlobBytesMax bounds what is read back: 100,000 topic partitions take 3 MB.
const rangesBlobBytesMax = 16 << 20

// SnapshotRanges returns the ranges that a firth snapshot committed, from its summary or its blob. A
// snapshot that firth did not make has none.
func SnapshotRanges(ctx context.Context, store objstore.Store, snapshot *icetable.Snapshot,
) (map[TopicPartition]Range, error) {
	if !IsFirth(snapshot) {
		return nil, nil
	}
	props := snapshot.Summary.Properties
	if location := props[SummaryRangesBlob]; location != "" {
		return readRangesBlob(ctx, store, location)
	}
	if props[SummaryRanges] == "" {
		return nil, nil // a snapshot that moves no offsets
	}
	coded, err := fromText(props[SummaryRanges])
	if err == nil {
		var ranges map[TopicPartition]Range
		if ranges, err = decodeRanges(kindRanges, coded); err == nil {
			return ranges, nil
		}
	}
	return nil, fmt.Errorf("decode %s of snapshot %d: %w", SummaryRanges, snapshot.SnapshotID, err)
}

func readRangesBlob(ctx context.Context, store objstore.Store, location string) (map[TopicPartition]Range, error) {
	data, err := readObject(ctx, store, location, rangesBlobBytesMax)
	if err != nil {
		return nil, fmt.Errorf("read ranges blob %s: %w", location, err)
	}
	reader, err := puffin.NewReader(bytes.NewReader(data), puffin.WithMaxBlobSize(rangesBlobBytesMax))
	if err != nil {
		return nil, fmt.Errorf("read ranges blob %s: %w", location, damaged("%v", err))
	}
	for i, blob := range reader.Blobs() {
		if blob.Type != BlobRanges {
			continue
		}
		content, err := reader.ReadBlob(i)
		if err != nil {
			return nil, fmt.Errorf("read ranges blob %s: %w", location, damaged("%v", err))
		}
		ranges, err := decodeRanges(kindRanges, content.Data)
		if err != nil {
			return nil, fmt.Errorf("decode ranges blob %s: %w", location, err)
		}
		return ranges, nil
	}
	return nil, fmt.Errorf("read ranges blob %s: %w", location, damaged("no blob of type %s", BlobRanges))
}

// rangesBlob is the Puffin file of coded ranges and the statistics entry that attaches it.
func rangesBlob(coded []byte, location string, snapshotID, sequenceNumber int64,
) ([]byte, icetable.StatisticsFile, error) {
	var buf bytes.Buffer
	w, err := puffin.NewWriter(&buf)
	if err != nil {
		return nil, icetable.StatisticsFile{}, err
	}
	if err := w.SetCreatedBy("firth"); err != nil {
		return nil, icetable.StatisticsFile{}, err
	}
	blob, err := w.AddBlob(puffin.BlobMetadataInput{
		Type: BlobRanges, SnapshotID: snapshotID, SequenceNumber: sequenceNumber, Fields: []int32{},
	}, coded)
	if err != nil {
		return nil, icetable.StatisticsFile{}, err
	}
	if err := w.Finish(); err != nil {
		return nil, icetable.StatisticsFile{}, err
	}
	return buf.Bytes(), icetable.StatisticsFile{
		SnapshotID:            snapshotID,
		StatisticsPath:        location,
		FileSizeInBytes:       int64(buf.Len()),
		FileFooterSizeInBytes: int64(buf.Len()) - blob.Offset - blob.Length,
		BlobMetadata: []icetable.BlobMetadata{{
			Type: icetable.BlobType(BlobRanges), SnapshotID: snapshotID, SequenceNumber: sequenceNumber,
			Fields: []int32{}, Properties: map[string]string{},
		}},
	}, nil
}

// readObject reads a whole object of at most max bytes.
func readObject(ctx context.Context, store objstore.Store, location string, max int64) ([]byte, error) {
	body, err := store.Get(ctx, location, 0, -1)
	if err != nil {
		return nil, err
	}
	defer body.Close() // reading: the error of ReadAll says it all
	data, err := io.ReadAll(io.LimitReader(body, max+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > max {
		return nil, fmt.Errorf("object %s is larger than %d bytes", location, max)
	}
	return data, nil
}
