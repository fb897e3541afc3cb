package objstore_test

import (
	"testing"
	"time"

	"github.com/firthlake/firth/table/objstore"
	"github.com/firthlake/firth/table/objstore/objstoretest"
)

// clock returns times a second apart.
func clock() func() time.Time {
	now := time.Unix(1_700_000_000, 0)
	return func() time.Time {
		now = now.Add(time.Second)
		return now
	}
}

const largeBytes = 9 << 20 // more than an Upload buffers

func TestMemoryConforms(t *testing.T) {
	objstoretest.Run(t, func(*testing.T) objstoretest.Subject {
		return objstoretest.Subject{
			Store: objstore.NewMemory(clock()), Root: "mem://test", LargeBytes: largeBytes,
		}
	})
}
