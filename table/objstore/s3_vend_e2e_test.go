//go:build e2e

package objstore_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/table/objstore"
)

// TestS3KeysReachOneLocation uses keys of a real store for what they are for, and for all that they are not for.
func TestS3KeysReachOneLocation(t *testing.T) {
	cfg := s3Config(t)
	root := "s3://" + makeBucket(t, cfg) + "/"
	own, err := objstore.NewS3(cfg)
	require.NoError(t, err)
	put := func(s objstore.Store, location string) error {
		_, err := s.Put(t.Context(), location, strings.NewReader("x"), 1, objstore.PutOptions{})
		return err
	}
	for _, location := range []string{"lake/a/data/1", "lake/ab/data/1", "lake/b/data/1"} {
		require.NoError(t, put(own, root+location))
	}
	v, err := objstore.NewVendor(objstore.VendorOptions{S3: cfg, Within: []string{root + "lake"}, Now: time.Now})
	require.NoError(t, err)
	for _, access := range []objstore.Access{objstore.AccessRead, objstore.AccessWrite} {
		keys, err := v.Vend(t.Context(), root+"lake/a", access)
		require.NoError(t, err)
		require.WithinDuration(t, time.Now().Add(time.Hour), keys.Expires, time.Minute)
		client := cfg
		client.AccessKey, client.SecretKey, client.SessionToken = keys.AccessKey, keys.SecretKey, keys.SessionToken
		s, err := objstore.NewS3(client)
		require.NoError(t, err)
		list := func(prefix string) (found int, err error) {
			for _, err := range s.List(t.Context(), root+prefix) {
				if err != nil {
					return found, err
				}
				found++
			}
			return found, nil
		}
		_, err = s.Stat(t.Context(), root+"lake/a/data/1")
		require.NoError(t, err)
		found, err := list("lake/a/")
		require.NoError(t, err)
		require.Equal(t, 1, found)
		for _, other := range []string{"lake/ab/data/1", "lake/b/data/1"} {
			body, err := s.Get(t.Context(), root+other, 0, -1)
			if err == nil {
				body.Close()
			}
			require.ErrorIs(t, err, objstore.ErrPermission, other)
			require.ErrorIs(t, put(s, root+other), objstore.ErrPermission, other)
			require.ErrorIs(t, s.Remove(t.Context(), root+other), objstore.ErrPermission, other)
		}
		for _, other := range []string{"", "lake/", "lake/ab/"} {
			_, err := list(other)
			require.ErrorIs(t, err, objstore.ErrPermission, "list %q", other)
		}
		if access == objstore.AccessRead {
			require.ErrorIs(t, put(s, root+"lake/a/data/2"), objstore.ErrPermission)
			require.ErrorIs(t, s.Remove(t.Context(), root+"lake/a/data/1"), objstore.ErrPermission)
		} else {
			require.NoError(t, put(s, root+"lake/a/data/2"))
			require.NoError(t, s.Remove(t.Context(), root+"lake/a/data/2"))
		}
	}
}
