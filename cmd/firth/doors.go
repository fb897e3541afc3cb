package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/serve/live"
	"github.com/firthlake/firth/table"
)

// The doors through which rows are read.
const (
	doorCommitted = "committed"
	doorLive      = "live_catalog"
	doorFlight    = "flight"
	doorStream    = "subscribe"
)

// What there is to say of a door of which no age is known.
const (
	noteUnread  = "nobody reads: who comes is shown what was read until then"
	noteUnknown = "older than this process has come to the end of the topics"
)

// doors tell what readers of the tables that this process ingests are shown, through each door that it has open.
type doors struct {
	service *service
	now     *live.Catalog // nil where nobody has the tables as of now
	catalog bool
	flight  bool
	streams bool

	age *prometheus.Desc
}

func newDoors(s *service, o runOptions, now *live.Catalog) *doors {
	served := now != nil && slices.Contains(o.roles, roleCatalog) && s.feeder.lake.config.Listen.Catalog != ""
	flight := now != nil && o.flightAt != ""
	return &doors{service: s, now: now, catalog: served, flight: flight && hasSQL(), streams: served || flight,
		age: prometheus.NewDesc("firth_visible_age_seconds",
			"How long ago what a reader is shown now was all that the topics had, by the door that it is read through.",
			[]string{"table", "door"}, nil)}
}

// tableDoors are the doors of a table.
type tableDoors struct {
	Table string       `json:"table"`
	UUID  string       `json:"uuid"`
	Doors []doorReport `json:"doors"`
}

// doorReport is what a reader who comes through a door is shown now.
type doorReport struct {
	Door string `json:"door"`
	// AgeSeconds is how long ago it was all that the topics had, and Through when; absent when that is not known.
	AgeSeconds *float64   `json:"age_seconds,omitempty"`
	Through    *time.Time `json:"through,omitempty"`
	// Offsets are where it ends: the next offsets by topic and partition.
	Offsets map[string]map[string]commit.Offset `json:"offsets,omitempty"`
	// Note says why it is no fresher, or why its age is not known.
	Note string `json:"note,omitempty"`
}

// report tells of all tables in order, or of the one of this name.
func (d *doors) report(name string) []tableDoors {
	out := []tableDoors{}
	for _, each := range d.service.ingested() {
		t := each.Table()
		if full := table.FormatIdent(t.Ident()); name == "" || name == full {
			out = append(out, tableDoors{Table: full, UUID: t.Metadata().TableUUID().String(), Doors: d.of(each)})
		}
	}
	return out
}

// ingested are the committers of the tables of the running generation, by name.
func (s *service) ingested() []*commit.Committer {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*commit.Committer
	if s.feed != nil {
		for _, name := range slices.Sorted(maps.Keys(s.feed.committers)) {
			out = append(out, s.feed.committers[name])
		}
	}
	return out
}

func (d *doors) of(c *commit.Committer) []doorReport {
	t, position := c.Table(), c.Position()
	out := []doorReport{d.at(doorCommitted, t, position, "")}
	if d.now == nil {
		return out
	}
	index := d.service.feeder.tails.Find(t.Metadata().TableUUID())
	cut, note := d.now.Shown(t)
	unread := note == "" && (index == nil || !index.Followed(d.service.feeder.program.now()))
	show := func(door string, cut table.Position) {
		if unread {
			out = append(out, doorReport{Door: door, Note: noteUnread})
			return
		}
		out = append(out, d.at(door, t, cut, note))
	}
	if d.catalog {
		show(doorLive, cut)
	}
	keyed, newest := len(t.Metadata().CurrentSchema().IdentifierFieldIDs) > 0, cut
	if index != nil && (!keyed || note == "" && index.Hider() != nil) {
		newest = index.Newest(position, func(schemaID int) bool {
			return slices.ContainsFunc(t.Metadata().Schemas(), func(s *iceberg.Schema) bool { return s.ID == schemaID })
		}).Cut
	}
	if d.flight {
		show(doorFlight, newest)
	}
	switch {
	case !d.streams:
	case keyed: // changes are those of commits
		out = append(out, d.at(doorStream, t, position, ""))
	case index != nil:
		show(doorStream, newest)
	}
	return out
}

// at is the report of a door at which the table ends at cut.
func (d *doors) at(door string, t *table.Table, cut table.Position, note string) doorReport {
	out := doorReport{Door: door, Note: note, Offsets: map[string]map[string]commit.Offset{}}
	for id, next := range cut {
		if out.Offsets[id.Topic] == nil {
			out.Offsets[id.Topic] = map[string]commit.Offset{}
		}
		out.Offsets[id.Topic][strconv.Itoa(int(id.Partition))] = next
	}
	f := d.service.feeder
	through, known := f.tails.Clock(t.Metadata().TableUUID()).Through(cut)
	if !known {
		if note == "" {
			out.Note = noteUnknown
		}
		return out
	}
	seconds := max(0, f.program.now().Sub(through).Seconds())
	out.AgeSeconds, out.Through = &seconds, &through
	return out
}

// Describe names the metric.
func (d *doors) Describe(to chan<- *prometheus.Desc) { to <- d.age }

// Collect measures at the moment that it is asked. A door whose age is not known is left out.
func (d *doors) Collect(to chan<- prometheus.Metric) {
	for _, t := range d.report("") {
		for _, door := range t.Doors {
			if door.AgeSeconds != nil {
				to <- prometheus.MustNewConstMetric(d.age, prometheus.GaugeValue, *door.AgeSeconds, t.Table, door.Door)
			}
		}
	}
}

// ServeHTTP answers with the report, of one table with ?table=.
func (d *doors) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(d.report(r.URL.Query().Get("table"))); err != nil {
		d.service.log.DebugContext(r.Context(), "answer /doors", "err", err)
	}
}

// doorsAnswerMax bounds what a process is believed to say of one table: 20,000 topic partitions fit.
const doorsAnswerMax = 4 << 20

// askDoors asks the process that runs on the configuration what readers of a table are shown; nil is nobody who knows.
func askDoors(ctx context.Context, c config, t tableReport) []doorReport {
	address, known := c.adminAddress()
	if !known {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	at := "http://" + address + "/doors?table=" + url.QueryEscape(t.Table)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil // nobody listens, which is no fault of the table
	}
	defer response.Body.Close()
	var tables []tableDoors
	if json.NewDecoder(io.LimitReader(response.Body, doorsAnswerMax)).Decode(&tables) != nil {
		return nil // it is another program
	}
	for _, found := range tables {
		if found.UUID == t.UUID { // it may run on another catalog
			return found.Doors
		}
	}
	return nil
}

// writeDoors prints the doors for people.
func writeDoors(w io.Writer, doors []doorReport) error {
	if len(doors) == 0 {
		return nil
	}
	var rows [][]string
	for _, d := range doors {
		old, through := "-", "-"
		if d.AgeSeconds != nil {
			old = fmt.Sprintf("%.1f s", *d.AgeSeconds)
			through = d.Through.UTC().Format("2006-01-02 15:04:05.000")
		}
		rows = append(rows, []string{d.Door, old, through, endsAt(d.Offsets), d.Note})
	}
	fmt.Fprintln(w)
	return grid(w, []string{"READ THROUGH", "AGE", "ALL UNTIL", "ENDS AT", ""}, rows)
}

// endsAt is a cut for people; of many topic partitions it is their number.
func endsAt(offsets map[string]map[string]commit.Offset) string {
	const charsMax = 60
	var parts []string
	partitions := 0
	for _, topic := range slices.Sorted(maps.Keys(offsets)) {
		text := topic
		for _, partition := range slices.Sorted(maps.Keys(offsets[topic])) {
			text += fmt.Sprintf(" %s:%d", partition, offsets[topic][partition])
			partitions++
		}
		parts = append(parts, text)
	}
	text := strings.Join(parts, ", ")
	if len(text) > charsMax {
		return fmt.Sprintf("%d topic partitions", partitions)
	}
	return text
}
