package scanplan

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/apache/iceberg-go"

	"github.com/firthlake/firth/table"
	"github.com/firthlake/firth/table/objstore"
)

// Loader has tables by name. What it returns for a table has every snapshot that a client may have been handed.
type Loader interface {
	LoadTable(ctx context.Context, ident table.Ident) (*table.Table, error)
}

// Options are what a Planner works with. Tables and Objects are required.
type Options struct {
	Tables  Loader
	Objects objstore.Store
	// PageFiles is how many data files a page holds; 0 is PageFilesDefault.
	PageFiles int
}

// Planner plans scans of a catalog's tables. Many goroutines may use it.
type Planner struct {
	opts Options

	mu   sync.Mutex
	kept []keptPlan // oldest first
}

// keptPlan is a plan of several pages, for those that are still to be fetched.
type keptPlan struct {
	key   string
	tasks []table.Task
}

const (
	// PageFilesDefault makes a page of less than a megabyte without statistics.
	PageFilesDefault = 1000
	// keptFilesMax bounds the files of the plans that are kept, about 2 KiB each.
	keptFilesMax = 50_000
)

// New returns a Planner.
func New(opts Options) *Planner {
	if opts.PageFiles == 0 {
		opts.PageFiles = PageFilesDefault
	}
	return &Planner{opts: opts}
}

// Plan plans a scan: its first page, and handles of the others.
func (p *Planner) Plan(ctx context.Context, ident table.Ident, r Request) (Result, error) {
	if err := r.check(); err != nil {
		return Result{}, err
	}
	t, err := p.opts.Tables.LoadTable(ctx, ident)
	if err != nil {
		return Result{}, err
	}
	tasks, err := p.plan(ctx, t, &r)
	if err != nil {
		return Result{}, err
	}
	out, err := p.page(t, &r, tasks[:min(p.opts.PageFiles, len(tasks))])
	if err != nil {
		return Result{}, err
	}
	out.Status, out.PlanID = "completed", handle{Request: r}.String()
	for from := p.opts.PageFiles; from < len(tasks); from += p.opts.PageFiles {
		out.PlanTasks = append(out.PlanTasks, handle{r, from}.String())
	}
	return out, nil
}

// Result is what Plan has answered with a plan-id.
func (p *Planner) Result(ctx context.Context, ident table.Ident, planID string) (Result, error) {
	h, err := parseHandle(planID)
	if err != nil {
		return Result{}, err
	}
	return p.Plan(ctx, ident, h.Request)
}

// Tasks is the page of one of a plan's handles.
func (p *Planner) Tasks(ctx context.Context, ident table.Ident, planTask string) (Result, error) {
	h, err := parseHandle(planTask)
	if err != nil {
		return Result{}, err
	}
	t, err := p.opts.Tables.LoadTable(ctx, ident)
	if err != nil {
		return Result{}, err
	}
	tasks, err := p.plan(ctx, t, &h.Request)
	if err != nil {
		return Result{}, fmt.Errorf("%w: ask for a plan again: %w", ErrNoPlan, err)
	}
	if h.From >= len(tasks) {
		return Result{}, fmt.Errorf("%w: ask for a plan again", ErrNoPlan)
	}
	return p.page(t, &h.Request, tasks[h.From:min(h.From+p.opts.PageFiles, len(tasks))])
}

// plan returns the files of a scan, the same and in the same order whenever it is asked.
func (p *Planner) plan(ctx context.Context, t *table.Table, r *Request) ([]table.Task, error) {
	scan, names, columns, err := r.scan(t)
	if err != nil {
		return nil, err
	}
	key := t.Metadata().TableUUID().String() + handle{Request: *r}.String()
	if tasks := p.find(key); tasks != nil {
		return tasks, nil
	}
	if scan.Filter, err = r.filterOf(names, columns); err != nil {
		return nil, err
	}
	tasks, err := table.Plan(ctx, t, p.opts.Objects, scan)
	if err != nil {
		return nil, err
	}
	tasks = enough(tasks, r)
	if len(tasks) > p.opts.PageFiles {
		p.keep(keptPlan{key, tasks})
	}
	return tasks, nil
}

// enough leaves out files where those before them surely have as many rows as the client wants.
func enough(tasks []table.Task, r *Request) []table.Task {
	if r.MinRows == nil || len(r.Filter) > 0 && string(r.Filter) != "true" {
		return tasks
	}
	left := *r.MinRows
	for i, t := range tasks {
		if left <= 0 {
			return tasks[:i]
		}
		if len(t.Deletes)+len(t.EqualityDeletes) == 0 {
			left -= t.File.Count()
		}
	}
	return tasks
}

func (p *Planner) find(key string) []table.Task {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, each := range p.kept {
		if each.key == key {
			return each.tasks
		}
	}
	return nil
}

func (p *Planner) keep(plan keptPlan) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept = append(p.kept, plan)
	files := 0
	for i := len(p.kept) - 1; i >= 0; i-- {
		if files += len(p.kept[i].tasks); files > keptFilesMax {
			p.kept = append([]keptPlan(nil), p.kept[i+1:]...)
			return
		}
	}
}

// page writes tasks with their deletes.
func (p *Planner) page(t *table.Table, r *Request, tasks []table.Task) (Result, error) {
	meta := t.Metadata()
	w := pageWriter{specs: meta.PartitionSpecByID, schemas: append(meta.Schemas(), meta.CurrentSchema()),
		wanted: map[int]bool{}}
	for _, name := range r.StatsFields {
		if field, ok := meta.CurrentSchema().FindFieldByName(name); ok {
			w.wanted[field.ID] = true
		}
	}
	residual := json.RawMessage("true")
	if len(r.Filter) > 0 && string(r.Filter) != "null" {
		residual = r.Filter
	}
	out := Result{}
	places := map[string]int{}
	for _, task := range tasks {
		data, err := w.file(task.File)
		if err != nil {
			return Result{}, err
		}
		if data.FirstRowID != nil {
			data.Sequence = &task.SequenceNumber
		}
		made := fileTask{DataFile: data, Residual: residual}
		for _, f := range deletesOf(task) {
			key := f.FilePath()
			if offset := f.ContentOffset(); offset != nil {
				key = fmt.Sprintf("%s@%d", key, *offset)
			}
			place, known := places[key]
			if !known {
				written, err := w.file(f)
				if err != nil {
					return Result{}, err
				}
				place = len(out.DeleteFiles)
				places[key] = place
				out.DeleteFiles = append(out.DeleteFiles, written)
			}
			made.Deletes = append(made.Deletes, place)
		}
		out.Tasks = append(out.Tasks, made)
	}
	return out, nil
}

func deletesOf(t table.Task) []iceberg.DataFile {
	files := append([]iceberg.DataFile(nil), t.Deletes...)
	for _, d := range t.EqualityDeletes {
		files = append(files, d.File)
	}
	return files
}
