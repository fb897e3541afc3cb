package committest

import (
	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table/objstore"
)

// Process is what one life of a process works on: a catalog and a store that fail as planned and die together.
type Process struct {
	Catalog *Faulty
	Store   *objstore.Faulty
}

// NewProcess wraps catalog and store. A plan that is nil lets nothing fail.
func NewProcess(
	catalog commit.Catalog, store objstore.Store, catalogPlan func(op int) Fault, storePlan objstore.Plan,
) *Process {
	p := &Process{}
	p.Catalog = NewFaulty(catalog, func(op int) Fault {
		switch {
		case p.Store.Crashed():
			return CrashBefore
		case catalogPlan == nil:
			return NoFault
		}
		return catalogPlan(op)
	})
	p.Store = objstore.NewFaulty(store, func(op objstore.Op) objstore.Fault {
		switch {
		case p.Catalog.Crashed():
			return objstore.Fault{Kind: objstore.CrashBefore}
		case storePlan == nil:
			return objstore.Fault{}
		}
		return storePlan(op)
	})
	return p
}

// Crashed says whether the process has died.
func (p *Process) Crashed() bool { return p.Catalog.Crashed() || p.Store.Crashed() }
