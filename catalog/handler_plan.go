package catalog

import (
	"context"
	"errors"
	"net/http"

	"github.com/firthlake/firth/catalog/scanplan"
	"github.com/firthlake/firth/table"
)

// Scans plans scans for clients (scanplan.Planner).
type Scans interface {
	Plan(ctx context.Context, ident table.Ident, r scanplan.Request) (scanplan.Result, error)
	Result(ctx context.Context, ident table.Ident, planID string) (scanplan.Result, error)
	Tasks(ctx context.Context, ident table.Ident, planTask string) (scanplan.Result, error)
}

func planRoutes() []route {
	const of = "namespaces/{namespace}/tables/{table}/"
	return []route{
		{method: "POST", path: of + "plan", plans: true, serve: planTableScan},
		{method: "GET", path: of + "plan/{plan}", plans: true, serve: fetchPlanningResult},
		{method: "DELETE", path: of + "plan/{plan}", plans: true, serve: cancelPlanning},
		{method: "POST", path: of + "tasks", plans: true, serve: fetchScanTasks},
	}
}

func planTableScan(x *exchange) (reply, error) {
	var asked scanplan.Request
	if err := x.decode(&asked); err != nil {
		return reply{}, err
	}
	result, err := x.warehouse.Scans.Plan(x.ctx(), x.ident(), asked)
	return x.planned(result, err, "NoSuchPlanIdException")
}

func fetchPlanningResult(x *exchange) (reply, error) {
	result, err := x.warehouse.Scans.Result(x.ctx(), x.ident(), x.params["plan"])
	return x.planned(result, err, "NoSuchPlanIdException")
}

// cancelPlanning has nothing to end: a plan is complete when it is answered.
func cancelPlanning(*exchange) (reply, error) { return noContent, nil }

func fetchScanTasks(x *exchange) (reply, error) {
	var asked struct {
		PlanTask string `json:"plan-task"`
	}
	if err := x.decode(&asked); err != nil {
		return reply{}, err
	}
	result, err := x.warehouse.Scans.Tasks(x.ctx(), x.ident(), asked.PlanTask)
	return x.planned(result, err, "NoSuchPlanTaskException")
}

// planned answers with a plan, or with the protocol's name for why there is none.
func (x *exchange) planned(result scanplan.Result, err error, missing string) (reply, error) {
	switch {
	case errors.Is(err, scanplan.ErrNoPlan):
		return reply{}, &protocolError{http.StatusNotFound, missing, err.Error()}
	case errors.Is(err, scanplan.ErrInvalid):
		return reply{}, &protocolError{http.StatusBadRequest, "BadRequestException", err.Error()}
	case errors.Is(err, scanplan.ErrUnsupported):
		return reply{}, &protocolError{http.StatusNotAcceptable, "UnsupportedOperationException", err.Error()}
	case err != nil:
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: result}, nil // the client has its keys from the table
}
