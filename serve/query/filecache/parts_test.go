package filecache

import (
	"context"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// counting counts what is fetched.
type counting struct {
	objstore.Store
	gets, bytes atomic.Int64
}

func (c *counting) Get(ctx context.Context, location string, offset, length int64) (io.ReadCloser, error) {
	c.gets.Add(1)
	c.bytes.Add(length)
	return c.Store.Get(ctx, location, offset, length)
}

func newObject(t *testing.T, size int64) (Object, []byte) {
	t.Helper()
	content := make([]byte, size)
	for i := range content {
		content[i] = byte(1 + rand.IntN(255))
	}
	store := &counting{Store: objstore.NewMemory(func() time.Time { return time.Unix(0, 0) })}
	require.NoError(t, table.FileIO(t.Context(), store).WriteFile("mem://lake/a", content))
	return Object{Store: store, Location: "mem://lake/a", Bytes: size}, content
}

func (o Object) counted() *counting { return o.Store.(*counting) }

func TestPartsAreThereOnceTheyWereAskedFor(t *testing.T) {
	const size = 4 << 20
	object, content := newObject(t, size)
	c := New(t.TempDir(), 2*size)
	var asked sync.Map
	var all sync.WaitGroup
	for range 50 {
		from := rand.Int64N(size)
		each := Range{from, min(size, from+rand.Int64N(200<<10))}
		all.Go(func() {
			f, err := c.Parts(t.Context(), object, each)
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Release()
			got, err := os.ReadFile(f.Path())
			want := content[each.From:each.Next]
			if err != nil || len(got) != size || string(got[each.From:each.Next]) != string(want) {
				t.Errorf("range %v of %d bytes: %v", each, len(got), err)
			}
			asked.Store(each, true)
		})
	}
	all.Wait()
	gets := object.counted().gets.Load()
	require.LessOrEqual(t, object.counted().bytes.Load(), int64(2*size))
	asked.Range(func(each, _ any) bool {
		f, err := c.Parts(t.Context(), object, each.(Range))
		require.NoError(t, err)
		f.Release()
		return true
	})
	require.Equal(t, gets, object.counted().gets.Load(), "what is there is not fetched again")
}

func TestPartsCountAsTheBytesThatAreThere(t *testing.T) {
	const size = 8 << 20
	object, _ := newObject(t, size)
	c := New(t.TempDir(), size/2)
	f, err := c.Parts(t.Context(), object, Range{0, 1 << 20}, Range{size - 1<<20, size})
	require.NoError(t, err)
	require.EqualValues(t, 2<<20, object.counted().bytes.Load())
	_, err = c.Parts(t.Context(), object, Range{0, size})
	require.ErrorIs(t, err, ErrFull)
	f.Release()
	require.EqualValues(t, 2<<20, c.bytes)
	whole, err := c.Get(t.Context(), "other", content(string(make([]byte, 3<<20))))
	require.NoError(t, err)
	require.NoFileExists(t, f.Path())
	whole.Release()
}

func TestAnObjectThatIsShorterIsAnError(t *testing.T) {
	object, _ := newObject(t, 1000)
	object.Bytes = 2000
	c := New(t.TempDir(), 1<<20)
	_, err := c.Parts(t.Context(), object, Range{500, 1500})
	require.Error(t, err)
	require.Zero(t, c.bytes)
}

func TestLackingJoinsWhatIsNear(t *testing.T) {
	present := []Range{{100, 200}, {1 << 20, 2 << 20}}
	for _, each := range []struct {
		ranges, want []Range
	}{
		{[]Range{{100, 200}, {1 << 20, 1<<20 + 5}}, nil},
		{[]Range{{50, 150}, {150, 250}}, []Range{{50, 250}}},
		{[]Range{{150, 250}, {300, 400}}, []Range{{200, 400}}},
		{[]Range{{50, 150}, {1<<20 - 10, 1<<20 + 10}}, []Range{{50, 100}, {1<<20 - 10, 1 << 20}}},
		{[]Range{{-10, 10}, {4 << 20, 6 << 20}}, []Range{{0, 10}, {4 << 20, 5 << 20}}},
	} {
		require.Equal(t, each.want, lacking(present, each.ranges, 5<<20), "%v", each.ranges)
	}
}
