//go:build !unix

package objstore

import (
	"errors"
	"os"
)

func lockFile(*os.File) error {
	return errors.New("put on condition of an ETag needs file locks, which this system lacks")
}
