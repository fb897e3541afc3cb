package query

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

func TestStatesAreTakenOut(t *testing.T) {
	datadriven.RunTest(t, "testdata/select/states", func(_ *testing.T, d *datadriven.TestData) string {
		selected, err := Select(d.Input)
		if err != nil {
			return err.Error()
		}
		out := []string{selected.SQL}
		for _, suffix := range slices.Sorted(maps.Keys(selected.Ats)) {
			out = append(out, suffix+": "+atText(selected.Ats[suffix]))
		}
		return strings.Join(out, "\n")
	})
}

func atText(at At) string {
	switch {
	case at.SnapshotID != 0:
		return fmt.Sprint("snapshot ", at.SnapshotID)
	case at.Ref != "":
		return "ref " + at.Ref
	}
	return "time " + at.Time.UTC().Format(time.RFC3339Nano)
}

func FuzzSelect(f *testing.F) {
	f.Add("FROM db.t AT (VERSION => 1), 'x''y', $a$ b $a$, /* c */ \"d\" -- e")
	f.Fuzz(func(t *testing.T, sql string) {
		before := scanTokens(sql)
		for i, each := range before {
			if each.text != sql[each.start:each.end] || each.start == each.end ||
				i > 0 && each.start < before[i-1].end {
				t.Fatalf("token %d of %q: %+v", i, sql, each)
			}
		}
		selected, err := Select(sql)
		if err == nil && len(selected.Ats) == 0 && selected.SQL != sql {
			t.Fatalf("%q became %q", sql, selected.SQL)
		}
	})
}
