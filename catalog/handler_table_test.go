package catalog_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/catalog"
)

// everyUpdate is one valid update of each kind on the table of the test below.
var everyUpdate = []string{
	`{"action":"assign-uuid","uuid":"$uuid"}`,
	`{"action":"upgrade-format-version","format-version":3}`,
	`{"action":"add-schema","schema":{"type":"struct","schema-id":1,"identifier-field-ids":[1],"fields":[
		{"id":1,"name":"id","required":true,"type":"long"},
		{"id":3,"name":"s","required":false,"type":{"type":"struct","fields":[
			{"id":4,"name":"l","required":false,"type":{"type":"list","element-id":5,"element":"int",
				"element-required":true}},
			{"id":6,"name":"m","required":false,"type":{"type":"map","key-id":7,"key":"string",
				"value-id":8,"value":"date","value-required":false}}]}}]},
		"last-column-id":8}`,
	`{"action":"set-current-schema","schema-id":0}`,
	`{"action":"add-spec","spec":{"spec-id":1,"fields":[
		{"source-id":1,"field-id":1000,"name":"b","transform":"bucket[4]"}]}}`,
	`{"action":"set-default-spec","spec-id":0}`,
	`{"action":"add-sort-order","sort-order":{"order-id":1,"fields":[
		{"source-id":1,"transform":"identity","direction":"asc","null-order":"nulls-first"}]}}`,
	`{"action":"set-default-sort-order","sort-order-id":0}`,
	`{"action":"add-snapshot","snapshot":{"snapshot-id":7,"parent-snapshot-id":$head,"sequence-number":2,
		"timestamp-ms":$now,"manifest-list":"m","summary":{"operation":"append","a":"b"},"schema-id":0}}`,
	`{"action":"set-snapshot-ref","ref-name":"b","type":"branch","snapshot-id":$head,
		"max-ref-age-ms":5,"max-snapshot-age-ms":5,"min-snapshots-to-keep":5}`,
	`{"action":"remove-snapshots","snapshot-ids":[9]}`,
	`{"action":"remove-snapshot-ref","ref-name":"main"}`,
	`{"action":"set-properties","updates":{"a":"b","write.metadata.path":"$wh/db/events/m",
		"write.metadata.previous-versions-max":"3"}}`,
	`{"action":"remove-properties","removals":["a"]}`,
	`{"action":"set-location","location":"$wh/elsewhere"}`,
	`{"action":"set-statistics","snapshot-id":$head,"statistics":{"snapshot-id":$head,"statistics-path":"s",
		"file-size-in-bytes":1,"file-footer-size-in-bytes":1,"blob-metadata":[{"type":"t","snapshot-id":$head,
		"sequence-number":1,"fields":[1],"properties":{"a":"b"}}]}}`,
	`{"action":"remove-statistics","snapshot-id":$head}`,
	`{"action":"set-partition-statistics","partition-statistics":{"snapshot-id":$head,"statistics-path":"s",
		"file-size-in-bytes":1}}`,
	`{"action":"remove-partition-statistics","snapshot-id":$head}`,
	`{"action":"remove-schemas","schema-ids":[9]}`,
	`{"action":"remove-partition-specs","spec-ids":[9]}`,
}

// mutations yields every way to replace one value inside v by one that hardly fits, or to leave it out.
func mutations(v any, yield func(any)) {
	for _, bad := range []any{nil, "", "x", -1.0, 1e300, 0.5, []any{}, []any{nil}, map[string]any{}, true} {
		yield(bad)
	}
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			if key == "action" {
				continue
			}
			mutations(inner, func(bad any) { v[key] = bad; yield(v) })
			delete(v, key)
			yield(v)
			v[key] = inner
		}
	case []any:
		for i, inner := range v {
			mutations(inner, func(bad any) { v[i] = bad; yield(v) })
			v[i] = inner
		}
	}
}

// TestMutilatedUpdatesNeverBreakATable sends every valid update with one value spoiled. It may be
// taken or refused, but the server must not fail and the table must be readable by a fresh process.
func TestMutilatedUpdatesNeverBreakATable(t *testing.T) {
	requests, accepted := 0, 0
	for _, update := range everyUpdate {
		f := newFixture(t)
		head, err := f.CreateTable(t.Context(), events, catalog.TableSpec{Schema: schema})
		require.NoError(t, err)
		requirements, updates := appendSnapshot(head.Metadata(), nil)
		head, err = f.CommitTable(t.Context(), events, requirements, updates)
		require.NoError(t, err)
		entry, err := f.store.Entry(t.Context(), events)
		require.NoError(t, err)
		h, err := catalog.NewHandler(catalog.HandlerOptions{
			Warehouses: []catalog.Warehouse{{Name: "main", Reads: f.Catalog, Writes: f.Catalog}},
			Now:        time.Now, Logger: slog.New(slog.DiscardHandler),
		})
		require.NoError(t, err)
		update = strings.NewReplacer("$uuid", head.Metadata().TableUUID().String(), "$wh", warehouse,
			"$head", fmt.Sprint(head.Metadata().CurrentSnapshot().SnapshotID),
			"$now", fmt.Sprint(time.Now().UnixMilli()+10)).Replace(update)
		send := func(spoiled any) int {
			raw, err := json.Marshal(map[string]any{"updates": []any{spoiled}})
			require.NoError(t, err)
			recorder := httptest.NewRecorder()
			request := httptest.NewRequest(http.MethodPost, "/v1/main/namespaces/db/tables/events",
				strings.NewReader(string(raw)))
			h.ServeHTTP(recorder, request)
			requests++
			require.Less(t, recorder.Code, 500, "%s: %s", raw, recorder.Body)
			if recorder.Code != 200 {
				return recorder.Code
			}
			accepted++
			fresh := catalog.New(f.store, f.objects, options())
			_, err = fresh.LoadTable(t.Context(), events)
			require.NoError(t, err, "%s", raw)
			moved, err := f.store.Entry(t.Context(), events)
			require.NoError(t, err)
			require.NoError(t, f.store.Apply(t.Context(), catalog.SwapEntry{Ident: events, Kind: entry.Kind,
				From: moved.MetadataLocation, To: entry.MetadataLocation, Location: entry.Location}))
			return recorder.Code
		}
		decoder := json.NewDecoder(strings.NewReader(update))
		decoder.UseNumber()
		var valid any
		require.NoError(t, decoder.Decode(&valid))
		require.Equal(t, 200, send(valid), update)
		mutations(valid, func(spoiled any) { send(spoiled) })
	}
	t.Logf("%d requests, %d accepted", requests, accepted)
}
