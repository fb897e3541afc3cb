package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/firthlake/firth/e2e/components"
)

const (
	// updatesPerSecond come to the table that is scanned.
	updatesPerSecond = 2000
	updatedTable     = "db.users"
	updatedTopic     = "updated"
	// updatedSeed is another than that of the first rows, so that no update repeats one.
	updatedSeed = "2"
)

// updatedSpec has a key that many rows share; the last one stays.
const updatedSpec = `name: db.users
identifier: [user_id]
sources: [{topics: [updated], format: json}]
freshness: {interval: 10s}
schema: {columns: [{name: event_id, type: string}, {name: user_id, type: long, required: true},
  {name: event_type, type: string}, {name: ts, type: timestamptz}, {name: url, type: string},
  {name: amount, type: double}, {name: quantity, type: int}, {name: country, type: string},
  {name: is_mobile, type: boolean}, {name: session, type: string}]}
`

// updated is a table that was updated for a while, with compaction by itself, and the same table rewritten into
// one file, as two snapshots.
type updated struct {
	*lake
	rows              int64
	before, rewritten int64
	// moments are snapshots that were the newest at moments of the last minutes of updates.
	moments []int64
}

// newUpdated fills the table, updates it for as long as the options say, and rewrites a copy.
func (b *bench) newUpdated(ctx context.Context) (*updated, error) {
	u := &updated{}
	var err error
	if u.lake, err = b.newLake(ctx, "updated"); err != nil {
		return nil, err
	}
	if err := u.add(ctx, updatedTable, updatedSpec); err != nil {
		return nil, err
	}
	if err := u.produce(ctx, updatedTopic, "--rows", strconv.FormatInt(b.options.rows, 10)); err != nil {
		return nil, err
	}
	if err := u.run(ctx); err != nil {
		return nil, err
	}
	updates := strconv.FormatInt(int64(b.options.updated.Seconds())*updatesPerSecond, 10)
	if err := u.produce(ctx, updatedTopic, "--seed", updatedSeed, "--rate", strconv.Itoa(updatesPerSecond),
		"--rows", updates); err != nil {
		return nil, err
	}
	if err := u.catchUp(ctx, updatedTable); err != nil {
		return nil, err
	}
	u.service.Stop()
	if err := u.run(ctx, "--roles", "catalog"); err != nil {
		return nil, err
	}
	if err := u.engines(ctx); err != nil {
		return nil, err
	}
	if u.before, err = u.head(ctx, updatedTable); err != nil {
		return nil, err
	}
	if err := u.tell(ctx, "updated", u.before); err != nil {
		return nil, err
	}
	if u.moments, err = u.snapshots(ctx); err != nil {
		return nil, err
	}
	for i, moment := range u.moments {
		if err := u.tell(ctx, fmt.Sprintf("moment %d", i), moment); err != nil {
			return nil, err
		}
	}
	// With that target every file is small, so all become one.
	if _, _, err := u.firth(ctx, "compact", updatedTable, "--target-size", "1TiB"); err != nil {
		return nil, err
	}
	if u.rewritten, err = u.head(ctx, updatedTable); err != nil {
		return nil, err
	}
	if err := u.tell(ctx, "rewritten", u.rewritten); err != nil {
		return nil, err
	}
	answer, err := ask(ctx, u.spark, "select count(*) from lake.db.users")
	if err != nil {
		return nil, err
	}
	u.rows, err = strconv.ParseInt(answer.Rows[0][0], 10, 64)
	return u, err
}

// momentsApart is the time between the moments at which a table is looked at. Checkpoints come every 10 s, and what
// a scan costs depends on the time since the last one, so the moments are at all distances from it.
const momentsApart = 13

// snapshots are those that were the newest at moments before the last commit of records.
func (u *updated) snapshots(ctx context.Context) ([]int64, error) {
	var all []int64
	for i := range moments {
		answer, err := ask(ctx, u.spark, fmt.Sprintf(`select max_by(snapshot_id, committed_at)
			from lake.db.users.snapshots where committed_at <= (select max(committed_at) from lake.db.users.snapshots
			where operation <> 'replace') - interval %d seconds`, i*momentsApart))
		if err != nil {
			return nil, err
		}
		id, err := strconv.ParseInt(answer.Rows[0][0], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("find the snapshot of moment %d: %w", i, err)
		}
		all = append(all, id)
	}
	return all, nil
}

// tell says on stderr what a snapshot is made of.
func (u *updated) tell(ctx context.Context, name string, snapshot int64) error {
	answer, err := ask(ctx, u.spark, fmt.Sprintf(`select content, count(*), sum(record_count), sum(file_size_in_bytes)
		from lake.db.users.files version as of %d group by content order by content`, snapshot))
	if err != nil {
		return err
	}
	for _, row := range answer.Rows {
		kind := map[string]string{"0": "data", "1": "delete"}[row[0]]
		fmt.Fprintf(os.Stderr, "%s: %s %s files, %s rows, %s bytes\n", name, row[1], kind, row[2], row[3])
	}
	return nil
}

// scanned is a question that needs every value of every row, in SQL of both engines.
func scanned() string {
	sums := []string{"count(*)", "sum(user_id)", "sum(quantity)", "min(ts)", "max(ts)",
		"sum(case when is_mobile then 1 else 0 end)", "sum(cast(amount * 100 as bigint))"}
	for _, column := range []string{"event_id", "event_type", "url", "country", "session", "_kafka_topic"} {
		sums = append(sums, "sum(length("+column+"))")
	}
	sums = append(sums, "sum(_kafka_offset)", "sum(_kafka_partition)", "max(_kafka_timestamp)")
	return "select " + strings.Join(sums, ", ") + " from "
}

var errScans = errors.New("the snapshots differ")

// scanner reads one snapshot with one engine.
type scanner func(*updated, context.Context, int64) (components.Answer, error)

// scan reads the table and its copy in turn, each as often, and returns the mean cost of one. First it reads the
// newest snapshot, which must be the same rows, then the table as it was at the moments.
func (u *updated) scan(ctx context.Context, run scanner) (before, rewritten figure, err error) {
	for n := range scansWarm {
		answers, err := u.both(ctx, run, u.before, n)
		if err != nil {
			return before, rewritten, err
		}
		if rows, same := answers[0].Rows, answers[1].Rows; !slices.EqualFunc(rows, same, slices.Equal[[]string]) {
			return before, rewritten, fmt.Errorf("%w: %v and %v", errScans, rows, same)
		}
	}
	var spent [2]float64
	for i, moment := range u.moments {
		var here [2]float64
		for n := range scansKnown + scans {
			answers, err := u.both(ctx, run, moment, n)
			if err != nil {
				return before, rewritten, err
			}
			for j := range answers {
				if n >= scansKnown {
					here[j] += answers[j].CPUSeconds / scans
				}
			}
		}
		fmt.Fprintf(os.Stderr, "moment %d: %.2f CPU-s, rewritten %.2f\n", i, here[0], here[1])
		spent[0], spent[1] = spent[0]+here[0], spent[1]+here[1]
	}
	one := func(spent float64) figure {
		return figure{RowsPerCPU: float64(u.rows) * float64(len(u.moments)) / spent, Proven: true}
	}
	return one(spent[0]), one(spent[1]), nil
}

// both scans the table as it was at a snapshot, and its copy: which of them first, goes by turns. An engine becomes
// faster for minutes, so the one that always came first would seem dearer.
func (u *updated) both(ctx context.Context, run scanner, snapshot int64, turn int,
) (answers [2]components.Answer, err error) {
	ids := [2]int64{snapshot, u.rewritten}
	for n := range ids {
		i := (n + turn) % 2
		if answers[i], err = run(u, ctx, ids[i]); err != nil {
			return answers, err
		}
	}
	return answers, nil
}

// scanCostMax is what a scan of an updated table may cost, that of a rewritten copy being 1.
const scanCostMax = 1.1

// The engine compiles while scansWarm scans run. A moment is scanned scans times, after scansKnown from which the
// engine knows the snapshot's metadata as it knows those of the copy.
const (
	scansWarm  = 12
	scansKnown = 1
	scans      = 4
	moments    = 10
)

func (u *updated) scanSpark(ctx context.Context, snapshot int64) (components.Answer, error) {
	return ask(ctx, u.spark, fmt.Sprintf("%s lake.db.users version as of %d", scanned(), snapshot))
}

// scanTrino counts the server's time, not that of the client.
func (u *updated) scanTrino(ctx context.Context, snapshot int64) (components.Answer, error) {
	spent, err := u.trino.CPUSecondsNow()
	if err != nil {
		return components.Answer{}, err
	}
	answer, err := ask(ctx, u.client, fmt.Sprintf("%s db.users for version as of %d", scanned(), snapshot))
	if err != nil {
		return answer, err
	}
	now, err := u.trino.CPUSecondsNow()
	answer.CPUSeconds = now - spent
	return answer, err
}

// reading are the promises of docs/performance.md about tables that are updated.
func reading() []comparison {
	return []comparison{scanning("Spark", (*updated).scanSpark), scanning("Trino", (*updated).scanTrino)}
}

// scanning compares the scans of one engine. Both snapshots are read by the first measurement, in turn.
func scanning(engine string, run scanner) comparison {
	var rewritten figure
	return comparison{group: "reads", named: true, name: "scan in " + engine + ", updated to rewritten",
		least: 1 / scanCostMax,
		of: measurement{name: engine + ", updated", how: func(ctx context.Context, b *bench) (figure, error) {
			if b.updated == nil {
				var err error
				if b.updated, err = b.newUpdated(ctx); err != nil {
					return figure{}, err
				}
			}
			var before figure
			var err error
			before, rewritten, err = b.updated.scan(ctx, run)
			return before, err
		}},
		to: measurement{name: engine + ", rewritten", how: func(context.Context, *bench) (figure, error) {
			return rewritten, nil
		}}}
}
