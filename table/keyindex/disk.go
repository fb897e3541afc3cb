package keyindex

import (
	"errors"
	"io"
	"os"

	"github.com/firthlake/firth/table/keyindex/disk"
)

func readFile(on disk.Disk, name string) ([]byte, error) {
	file, err := on.OpenFile(name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(file)
	return text, errors.Join(err, file.Close())
}

func writeFile(on disk.Disk, name string, text []byte) error {
	file, err := on.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Close())
}
