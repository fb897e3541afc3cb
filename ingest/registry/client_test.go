package registry

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
)

const userSchema = `{"type":"record","name":"User","fields":[{"name":"id","type":"long"}]}`

// fixture is a fake registry with a client of it, and counts requests.
type fixture struct {
	*srfake.Registry
	client   *Client
	requests *atomic.Int64
	now      time.Time
}

func newFixture(t *testing.T, configure func(*Config), opts ...srfake.Option) *fixture {
	t.Helper()
	f := &fixture{Registry: srfake.New(opts...), requests: new(atomic.Int64), now: time.Unix(1000,
		0)}
	t.Cleanup(f.Registry.Close)
	f.Intercept(func(http.ResponseWriter, *http.Request) bool {
		f.requests.Add(1)
		return false
	})
	config := DefaultConfig()
	config.URLs = []string{f.URL()}
	if configure != nil {
		configure(&config)
	}
	var err error
	f.client, err = New(config, func() time.Time { return f.now })
	require.NoError(t, err)
	t.Cleanup(f.client.Close)
	return f
}

func TestByIDFetchesOnce(t *testing.T) {
	f := newFixture(t, nil)
	id, err := f.client.Register(t.Context(), "users-value", Schema{Format: Avro, Text: userSchema})
	require.NoError(t, err)
	before := f.requests.Load()
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() {
			schema, err := f.client.ByID(t.Context(), id)
			if err != nil || schema.Text != userSchema || schema.Format != Avro || schema.ID != id {
				t.Errorf("got %+v, %v", schema, err)
			}
		})
	}
	wait.Wait()
	require.Equal(t, before+1, f.requests.Load())
}

func TestByIDRemembersUnknownIDForAShortTime(t *testing.T) {
	f := newFixture(t, nil)
	for range 3 {
		_, err := f.client.ByID(t.Context(), 1)
		require.ErrorIs(t, err, ErrUnknownID)
		require.NotErrorIs(t, err, ErrUnavailable)
	}
	require.EqualValues(t, 1, f.requests.Load())
	_, _, err := f.RegisterSchema("s", sr.Schema{Schema: userSchema})
	require.NoError(t, err)
	f.now = f.now.Add(unknownTTL)
	_, err = f.client.ByID(t.Context(), 1)
	require.NoError(t, err)
}

func TestByIDResolvesReferencesInOrder(t *testing.T) {
	f := newFixture(t, nil)
	register := func(subject, text string, refs ...sr.SchemaReference) int {
		id, _, err := f.RegisterSchema(subject,
			sr.Schema{Schema: text, Type: sr.TypeProtobuf, References: refs})
		require.NoError(t, err)
		return id
	}
	register("a", `syntax = "proto3"; message A {}`)
	register("b", `syntax = "proto3"; import "a.proto"; message B { A a = 1; }`,
		sr.SchemaReference{Name: "a.proto", Subject: "a", Version: 1})
	id := register("c",
		`syntax = "proto3"; import "b.proto"; import "a.proto"; message C { A a = 1; B b = 2; }`,
		sr.SchemaReference{Name: "b.proto", Subject: "b", Version: 1},
		sr.SchemaReference{Name: "a.proto", Subject: "a", Version: 1})
	schema, err := f.client.ByID(t.Context(), int32(id))
	require.NoError(t, err)
	require.Equal(t, Protobuf, schema.Format)
	var names []string
	for _, imported := range schema.Imports {
		names = append(names, imported.Name)
	}
	require.Equal(t, []string{"a.proto", "b.proto"}, names)
}

func TestByIDWithRegistryDownIsUnavailable(t *testing.T) {
	html := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, err := w.Write([]byte("<html>no such page</html>"))
			if err != nil {
				t.Error(err)
			}
		}
	}
	for name, handler := range map[string]http.HandlerFunc{
		"server error":        html(http.StatusInternalServerError),
		"page instead of API": html(http.StatusOK),
		"wrong base path":     html(http.StatusNotFound),
		"no permission":       html(http.StatusForbidden),
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(handler)
			defer server.Close()
			f := newFixture(t, func(c *Config) { c.URLs = []string{server.URL + "/base/"} })
			for range 2 {
				_, err := f.client.ByID(t.Context(), 1)
				require.ErrorIs(t, err, ErrUnavailable)
				require.NotErrorIs(t, err, ErrUnknownID)
			}
		})
	}
}

func TestByIDAsksTheNextNode(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	f := newFixture(t, nil)
	config := DefaultConfig()
	config.URLs = []string{gone.URL, f.URL()}
	client, err := New(config, time.Now)
	require.NoError(t, err)
	defer client.Close()
	_, err = client.Register(t.Context(), "s", Schema{Format: Avro, Text: userSchema})
	require.NoError(t, err)
	_, err = client.ByID(t.Context(), 1)
	require.NoError(t, err)
}

func TestWaiterTakesOverWhenTheFetcherGivesUp(t *testing.T) {
	kept := newCache(time.Now)
	ctx, cancel := context.WithCancel(t.Context())
	started := make(chan struct{})
	leader := make(chan error)
	go func() {
		_, err := kept.get(ctx, 1, func() (*Schema, error) {
			close(started)
			<-ctx.Done()
			return nil, ctx.Err()
		})
		leader <- err
	}()
	<-started
	waiter := make(chan error)
	go func() {
		_, err := kept.get(t.Context(), 1, func() (*Schema, error) { return &Schema{}, nil })
		waiter <- err
	}()
	cancel()
	require.ErrorIs(t, <-leader, context.Canceled)
	require.NoError(t, <-waiter)
}

func TestCacheIsBounded(t *testing.T) {
	kept := newCache(time.Now)
	for id := range int32(3 * schemasMax) {
		_, err := kept.get(t.Context(), id, func() (*Schema, error) { return &Schema{ID: id}, nil })
		require.NoError(t, err)
	}
	require.LessOrEqual(t, len(kept.entries), schemasMax)
	require.LessOrEqual(t, len(kept.order), schemasMax)
}

func TestLatestFollowsTheSubject(t *testing.T) {
	f := newFixture(t, nil)
	_, err := f.client.Latest(t.Context(), "s")
	require.ErrorIs(t, err, ErrUnknownSubject)
	next := strings.Replace(userSchema, `"type":"long"}`,
		`"type":"long"},{"name":"x","type":["null","int"],"default":null}`, 1)
	for _, text := range []string{userSchema, next} {
		_, err := f.client.Register(t.Context(), "s", Schema{Format: Avro, Text: text})
		require.NoError(t, err)
	}
	schema, err := f.client.Latest(t.Context(), "s")
	require.NoError(t, err)
	require.Equal(t, 2, schema.Version)
	require.Equal(t, next, schema.Text)
}

func TestLoginIsSent(t *testing.T) {
	set := map[string]func(*Config){
		"Basic dTpw": func(c *Config) { c.Username, c.Password = "u", "p" },
		"Bearer t":   func(c *Config) { c.Token = "t" },
	}
	set["Basic eDp5"] = func(c *Config) {
		c.URLs[0] = strings.Replace(c.URLs[0], "://", "://x:y@",
			1)
	}
	for want, configure := range set {
		f := newFixture(t, configure, srfake.WithAuth(want))
		_, err := f.client.ByID(t.Context(), 1)
		require.ErrorIs(t, err, ErrUnknownID, want)
	}
	f := newFixture(t, nil, srfake.WithAuth("Bearer other"))
	_, err := f.client.ByID(t.Context(), 1)
	require.ErrorIs(t, err, ErrUnavailable)
	require.ErrorContains(t, err, "check user and password")
}

func TestConfigNamesItsFault(t *testing.T) {
	for url, want := range map[string]string{
		"localhost:8081": "write it as http://", "http://": "write it as http://",
		"": "write it as",
	} {
		config := DefaultConfig()
		config.URLs = []string{url}
		require.ErrorContains(t, config.Validate(), want)
	}
	require.ErrorContains(t, DefaultConfig().Validate(), "no url")
}
