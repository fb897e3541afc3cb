package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// outcome is one line of the report.
type outcome struct {
	Name  string  `json:"name"`
	Ratio float64 `json:"ratio"`
	Least float64 `json:"least"`
}

// summary is the report: medians over the rounds.
type summary struct {
	Rows     int64               `json:"rows"`
	Rounds   []map[string]figure `json:"rounds"`
	Outcomes []outcome           `json:"outcomes"`
}

func report(w io.Writer, o options, chosen []comparison, rounds []map[string]figure) error {
	s := summary{Rows: o.rows, Rounds: rounds}
	var low []string
	for _, c := range chosen {
		ratio := c.ratio(rounds)
		s.Outcomes = append(s.Outcomes, outcome{Name: c.name, Ratio: ratio, Least: c.least})
		if ratio < c.least {
			low = append(low, c.name)
		}
	}
	if o.json {
		if err := json.NewEncoder(w).Encode(s); err != nil {
			return err
		}
	} else {
		s.write(w, measurements(chosen))
	}
	if len(low) > 0 {
		return fmt.Errorf("too low: %s", strings.Join(low, ", "))
	}
	return nil
}

func (s summary) write(w io.Writer, measured []measurement) {
	fmt.Fprintf(w, "\n%d rows, medians of %d rounds\n\n", s.Rows, len(s.Rounds))
	fmt.Fprintf(w, "| measurement | rows per CPU-s | rows per s | peak RSS, MB |\n|---|---|---|---|\n")
	for _, m := range measured {
		var cpu, wall, rss []float64
		for _, round := range s.Rounds {
			f := round[m.name]
			cpu, wall, rss = append(cpu, f.RowsPerCPU), append(wall, f.RowsPerSecond),
				append(rss, float64(f.RSSBytesMax)/1e6)
		}
		fmt.Fprintf(w, "| %s | %.0f k | %.0f k | %.0f |\n", m.name, median(cpu)/1e3, median(wall)/1e3,
			median(rss))
	}
	fmt.Fprintf(w, "\n| comparison | ratio | at least |\n|---|---|---|\n")
	for _, c := range s.Outcomes {
		least := "-"
		if c.Least > 0 {
			least = fmt.Sprintf("%.2f", c.Least)
		}
		fmt.Fprintf(w, "| %s | %.2f | %s |\n", c.Name, c.Ratio, least)
	}
}
