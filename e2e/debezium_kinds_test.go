//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firthlake/firth/e2e/components"
)

// Two more tables of Postgres have values that it does not log when an update leaves them alone. Papers logs
// whole rows all the same, and comes as Avro; drafts is as tables are by default. Best has what the versions of
// drafts come to by the functions of bestSpec.
const createKinds = `
	create table papers (id bigint primary key, name text, amount numeric(12, 3) not null,
		ts timestamp not null, seen timestamptz, flag boolean, day date, kind text not null, body text);
	alter table papers alter column body set storage external;
	create table drafts (like papers including all);
	create table best (like drafts including all);
	alter table papers replica identity full;
	create function fold() returns trigger language plpgsql as $$ begin
		if tg_op = 'INSERT' then insert into best select new.*; return null; end if;
		if tg_op = 'DELETE' then delete from best where id = old.id; return null; end if;
		update best set amount = greatest(amount, new.amount), flag = coalesce(flag or new.flag, flag, new.flag),
			kind = new.kind, body = coalesce(best.body, new.body) where id = new.id;
		return null; end $$;
	create trigger fold after insert or update or delete on drafts for each row execute function fold()`

// insertKinds has bodies of 3 KB, but for some.
const insertKinds = `insert into %s select id, nullif('name ' || id %% 9, 'name 4'), id * 1.125,
	timestamp '1969-12-31 23:59:58' + id * interval '1.000001 s',
	timestamptz '2020-02-29 23:59:59Z' + id * interval '1 h',
	id %% 2 = 0, date '1969-12-30' + id, 'k' || id %% 3,
	case when id %% 4 > 0 then repeat(md5(id::text), 100) when id %% 8 > 0 then 'short' end
	from generate_series(%d, %[2]d + 60) id`

// kindsColumns are the columns of all of them but the sequence, as readers are asked for them.
var kindsColumns = [...][2]string{{"id", "long"}, {"name", "string"}, {"amount", "decimal(12, 3)"},
	{"ts", "timestamp"}, {"seen", "timestamptz"}, {"flag", "boolean"}, {"day", "date"}, {"kind", "string"},
	{"body", "string"}}

const kindsSpec = `identifier: [id]
sequence: [lsn]
schema:
  columns:
` + rowColumns + `    - {name: kind, type: string}
    - {name: body, type: string}
    - {name: lsn, type: long, event: source.lsn}
retention: {snapshots: 500}
freshness: {interval: 1500ms}
`

// kinds are the lake's tables: two of them merge versions, and one shows what others get by with.
func kinds() map[string]string {
	const drafts = "sources: [{topics: [pg.public.drafts], envelope: debezium, options: {decimals: base64}}]\n"
	return map[string]string{
		"papers": "format_version: 2\npartition: [kind]\nchangelog: true\n" +
			"sources: [{topics: [avro.public.papers], envelope: debezium, format: avro}]\n",
		"drafts": drafts + "merge: partial\nchangelog: true\n",
		"best": drafts + "merge: aggregate\nchangelog: true\n" +
			"aggregate: {amount: max, flag: bool_or, body: first, ts: min}\npartition: [\"bucket(4, id)\"]\n",
		"strict": drafts,
	}
}

// createKinds makes the tables with their first rows, before the connectors take their snapshots.
func (r *replica) createKinds(t *testing.T) {
	t.Helper()
	_, err := r.load.connect(t).Exec(t.Context(), createKinds)
	require.NoError(t, err)
	for _, table := range []string{"papers", "drafts"} {
		_, err := r.load.connect(t).Exec(t.Context(), fmt.Sprintf(insertKinds, table, 1))
		require.NoError(t, err)
	}
	for name, text := range kinds() {
		r.spec(t, name, "name: db."+name+"\n"+kindsSpec+text)
	}
}

// captureKinds lets a connector write Avro, whose schemas are in the registry.
func (r *replica) captureKinds(t *testing.T, registry *components.Registry) {
	t.Helper()
	settings := map[string]string{}
	for _, part := range []string{"key", "value"} {
		part += ".converter"
		settings[part] = "io.apicurio.registry.utils.converter.AvroConverter"
		for key, value := range map[string]string{"url": registry.Native, "auto-register": "true",
			"as-confluent": "true", "use-id": "contentId", "headers.enabled": "false"} {
			settings[part+".apicurio.registry."+key] = value
		}
	}
	require.NoError(t, r.connect.Capture(t.Context(), r.postgres, components.Capture{Name: "avro",
		Tables: []string{"public.papers", "public.marks"}, Partitions: partitions, Settings: settings}))
}

// changeKinds changes some rows and leaves the large values of most of them alone. Rows of papers get other
// keys too; drafts of which Debezium does not know the large value would not be there under theirs.
func (r *replica) changeKinds(t *testing.T, round int) {
	t.Helper()
	conn := r.load.connect(t)
	for _, table := range []string{"papers", "drafts"} {
		first := 1000 * (round + 1)
		statements := []string{fmt.Sprintf(insertKinds, table, first)}
		for _, change := range []string{
			"update %s set amount = amount + 0.125 * (-1) ^ (id + %d), flag = not flag where id %% 3 = 0",
			"update %s set kind = 'k' || (id + %d) %% 5 where id %% 4 = 1",
			"update %s set body = repeat(md5(id::text), 99 - %d) where id %% 5 = 2",
			"delete from %s where id %% 7 = 3 and id > 1000 * %d",
		} {
			statements = append(statements, fmt.Sprintf(change, table, round))
		}
		if table == "papers" {
			statements = append(statements, fmt.Sprintf(
				"update papers set id = id + 500 where id %% 11 = 5 and id between %d and %d", first, first+60))
		}
		for _, statement := range statements {
			_, err := conn.Exec(t.Context(), statement)
			require.NoError(t, err, statement)
		}
	}
}

// kindsRows asks for the tables that equal those of Postgres, and for the changes that lead to them.
func (r *replica) kindsRows(t *testing.T) (asked []question) {
	t.Helper()
	_, sql := r.items()
	sql = strings.Replace(sql, ", coalesce('''' || note, 'null')", "", 1)
	sql = strings.Replace(sql, "] from items", `, '''' || kind, coalesce(case when length(body) > 200
		then length(body) || ' ' || encode(sha256(convert_to(body, 'UTF8')), 'hex')
		else '''' || body end, 'null')] from `, 1)
	for _, name := range []string{"papers", "drafts", "best"} {
		q := question{part: "kinds", rows: r.texts(t, sql+name)}
		q.Table, q.Columns = "db."+name, kindsColumns[:]
		asked = append(asked, q)
		q.changes, q.Table = true, q.Table+"_changes"
		q.Columns = append(slices.Clone(q.Columns), [2]string{"_change_type", "string"},
			[2]string{"_change_ordinal", "long"})
		asked = append(asked, q)
	}
	return asked
}

// kindsSettle waits until the tables have all events, and the changelogs all changes.
func (r *replica) kindsSettle(t *testing.T, asked []question) {
	t.Helper()
	for name := range kinds() {
		r.hasAll(t, "db."+name)
	}
	var faults []string
	eventually(t, settleMax(), func() bool {
		faults = r.faults(t, "duckdb", asked)
		return len(faults) == 0
	}, func() string { return strings.Join(faults, "\n") })
}

// kindsProven verifies the tables. Where versions replace each other, an event without a value that the table
// has is a dead letter.
func (r *replica) kindsProven(t *testing.T) {
	t.Helper()
	for name := range kinds() {
		letters := r.proven(t, "db."+name).Counts.DeadLetters
		if name == "strict" {
			require.Positive(t, letters)
			continue
		}
		require.Zero(t, letters, name)
		r.proven(t, "db."+name+"_changes")
	}
	out := r.firth(t, "read", "db.strict", "--where", "body like '%unavailable%'", "--output", "ndjson")
	require.Zero(t, out.code, out.stderr)
	require.Empty(t, out.stdout)
}

// folded are the rows that changes come to, each of which an answer holds so many times.
func folded(changes [][]string, times int) (rows [][]string, fault string) {
	ordinal := func(row []string) int {
		n, err := strconv.Atoi(row[len(row)-1])
		if err != nil {
			return -1
		}
		return n
	}
	slices.SortStableFunc(changes, func(a, b []string) int { return ordinal(a) - ordinal(b) })
	have := map[string][]string{}
	for i, change := range changes {
		if ordinal(change) != i/times {
			return nil, fmt.Sprintf("change %d has the ordinal %d", i/times, ordinal(change))
		}
		if i%times > 0 {
			if !slices.Equal(change, changes[i-1]) {
				return nil, fmt.Sprintf("change %d is %v and %v", i/times, changes[i-1], change)
			}
			continue
		}
		row, kind := change[:len(change)-2], change[len(change)-2]
		before, there := have[row[0]]
		switch kind {
		case "'INSERT", "'UPDATE_AFTER":
			if there {
				return nil, fmt.Sprintf("change %d: %s of a row that is there: %v", i/times, kind, change)
			}
			have[row[0]] = row
		case "'DELETE", "'UPDATE_BEFORE":
			if !slices.Equal(before, row) {
				return nil, fmt.Sprintf("change %d: %s of %v, which is %v", i/times, kind, row, before)
			}
			delete(have, row[0])
		default:
			return nil, "change of type " + kind
		}
	}
	for _, row := range have {
		rows = append(rows, row)
	}
	return rows, ""
}
