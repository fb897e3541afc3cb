package flight

import (
	"context"
	"errors"
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql"

	"github.com/firthlake/firth/serve/query"
	"github.com/firthlake/firth/table"
)

// fault is an error of the protocol. What is no fault of the client's is logged.
func (d *door) fault(err error) error {
	if _, ok := status.FromError(err); ok {
		return err
	}
	for _, each := range []struct {
		kind error
		code codes.Code
	}{
		{query.ErrInvalid, codes.InvalidArgument},
		{query.ErrRefused, codes.PermissionDenied},
		{query.ErrLimit, codes.ResourceExhausted},
		{table.ErrNotFound, codes.NotFound},
		{context.Canceled, codes.Canceled},
		{context.DeadlineExceeded, codes.DeadlineExceeded},
	} {
		if errors.Is(err, each.kind) {
			return status.Error(each.code, err.Error())
		}
	}
	d.opts.Logger.Warn("statement broke off", "err", err)
	return status.Error(codes.Internal, err.Error())
}

// errReadOnly refuses what writes.
func errReadOnly() error {
	return status.Error(codes.PermissionDenied, "only queries can be run: rows are written through Kafka, or by an "+
		"engine at the Iceberg catalog")
}

// DoPutCommandStatementUpdate refuses.
func (d *door) DoPutCommandStatementUpdate(context.Context, flightsql.StatementUpdate) (int64, error) {
	return 0, errReadOnly()
}

// DoPutPreparedStatementUpdate refuses.
func (d *door) DoPutPreparedStatementUpdate(
	context.Context, flightsql.PreparedStatementUpdate, flight.MessageReader,
) (int64, error) {
	return 0, errReadOnly()
}

// DoPutCommandStatementIngest refuses.
func (d *door) DoPutCommandStatementIngest(
	context.Context, flightsql.StatementIngest, flight.MessageReader,
) (int64, error) {
	return 0, errReadOnly()
}

// BeginTransaction refuses: each statement sees one state of each table, and nothing is written.
func (d *door) BeginTransaction(context.Context, flightsql.ActionBeginTransactionRequest) ([]byte, error) {
	return nil, status.Error(codes.Unimplemented, "there are no transactions: each statement reads one state of each "+
		"table, and AT (VERSION => …) has several read the same")
}

// codeOf is the code that says what a status of HTTP does, or otherwise where it says nothing of its own.
func codeOf(httpStatus int, otherwise codes.Code) codes.Code {
	switch httpStatus {
	case http.StatusBadRequest:
		return codes.InvalidArgument
	case http.StatusNotFound:
		return codes.NotFound
	case http.StatusGone:
		return codes.OutOfRange
	case http.StatusMisdirectedRequest:
		return codes.FailedPrecondition
	case http.StatusServiceUnavailable:
		return codes.Unavailable
	}
	return otherwise
}
