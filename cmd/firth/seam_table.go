package main

import (
	"context"
	"strings"

	"github.com/firthlake/firth/ingest/decode"
	"github.com/firthlake/firth/ingest/gen"
	"github.com/firthlake/firth/ingest/source"
	"github.com/firthlake/firth/table/objstore"
)

// seamTable is a table that readers look at: how it is made and fed, and the ways to its rows.
type seamTable interface {
	topic() string
	spec() (string, error)
	// produce fills the topic until ctx ends, and returns how many records it wrote.
	produce(ctx context.Context, connection source.Connection) (int64, error)
	// ways are, by the doors that the service has, the ways of readers to a topic partition.
	ways(s *benchService, objects objstore.Store) map[string]func(partition int32) seamWay
}

func (p *program) seamTable(o seamOptions) (seamTable, error) {
	if !o.keyed {
		return &grownTable{o}, nil
	}
	log, err := newLookupLog(lookupOptions{keys: o.keys, distribution: o.distribution}, p.now)
	if err != nil {
		return nil, err
	}
	return &keyedTable{opts: o, log: log}, nil
}

// grownTable is the demo's table, to which rows are only added.
type grownTable struct{ opts seamOptions }

func (g *grownTable) topic() string { return demoTopic }

func (g *grownTable) spec() (string, error) {
	return strings.Replace(demoSpec, "{interval: 2s}", "{interval: "+g.opts.checkpoint.String()+"}", 1), nil
}

func (g *grownTable) produce(ctx context.Context, connection source.Connection) (int64, error) {
	return produceEvents(ctx, connection, g.opts.rate)
}

func (g *grownTable) ways(s *benchService, objects objstore.Store) map[string]func(int32) seamWay {
	back := g.opts.back
	ways := map[string]func(int32) seamWay{
		doorLive: func(partition int32) seamWay {
			return &liveWay{seamBack: back, liveDoor: liveDoor{url: s.url, store: objects}, partition: partition}
		},
		doorStream: func(partition int32) seamWay {
			return &streamWay{streamDoor: streamDoor{url: s.url, table: demoTable, partition: partition,
				columns: decode.ColumnOffset + "," + decode.ColumnTimestamp}}
		},
	}
	if s.flight != "" {
		ways[doorFlight] = func(partition int32) seamWay {
			return &flightWay{seamBack: back, flightDoor: s.sql(), partition: partition}
		}
	}
	return ways
}

// sql is a way to the service's SQL.
func (s *benchService) sql() flightDoor {
	return flightDoor{url: "grpc://" + s.flight, epoch: s.epoch.Load}
}

// produceEvents fills the demo's topic until ctx ends, and returns how many records it wrote.
func produceEvents(ctx context.Context, connection source.Connection, rate int64) (int64, error) {
	g, err := gen.New(gen.Options{Workload: "events10", Format: gen.JSON, Seed: 1})
	if err != nil {
		return 0, err
	}
	totals, err := gen.Produce(ctx, connection, demoTopic, g, gen.Run{Rate: rate})
	if totals == nil {
		return 0, err
	}
	return totals.Rows, err
}
