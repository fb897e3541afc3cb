package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/firthlake/firth/table"
)

// getOptions are the flags of get.
type getOptions struct{ url, token string }

func (p *program) getCommand() *cobra.Command {
	var o getOptions
	cmd := &cobra.Command{
		Use:   "get TABLE KEY...",
		Short: "Look up rows of a keyed table by their identifier, as of now",
		Long: "Asks a process of the service for the newest rows of keys, committed or not, and prints\n" +
			"one JSON object a line, null where there is no row. A key is the value of the identifier column, or\n" +
			"values divided by commas, in the order of the columns, where there are several; commas within a\n" +
			"value are written %2C. --json prints the state that was read as well. docs/lookup.md has more." +
			exitCodes("all keys have rows", "some key has none", "could not look up"),
		Example: example("firth get db.users 42", "firth get db.prices de,1001 de,1002 --json",
			"firth get db.users 42 --url http://lake:8181 --token \"$TOKEN\""),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return exactly("TABLE", "KEY")(cmd, args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return p.get(cmd.Context(), o, args[0], args[1:]) },
	}
	cmd.Flags().StringVar(&o.url, "url", "", "process to ask (default the listener of the configuration)")
	cmd.Flags().StringVar(&o.token, "token", "", "bearer token (default that of the configuration)")
	return cmd
}

// lookupAnswer is what a process answers to a list of keys.
type lookupAnswer struct {
	Rows       []json.RawMessage                  `json:"rows"`
	SnapshotID int64                              `json:"snapshot_id"`
	Position   map[string]map[string]table.Offset `json:"position"`
	Behind     string                             `json:"behind,omitempty"`
}

func (p *program) get(ctx context.Context, o getOptions, name string, keys []string) error {
	ident, err := table.ParseIdent(name)
	if err != nil {
		return couldNot(err, "write namespace.table")
	}
	if o.url == "" {
		if o, err = p.getTarget(o); err != nil {
			return err
		}
	}
	answer, err := askRows(ctx, o, ident, keys)
	if err != nil {
		return couldNot(err, remedyOf(err))
	}
	absent := 0
	for _, row := range answer.Rows {
		if string(row) == "null" {
			absent++
		}
	}
	err = p.print(answer, func(w io.Writer) error {
		for _, row := range answer.Rows {
			if _, err := fmt.Fprintf(w, "%s\n", row); err != nil {
				return fmt.Errorf("print rows: %w", err)
			}
		}
		return nil
	})
	if err == nil && absent > 0 {
		err = fallsShort(fmt.Errorf("%d of %d keys have no row in %s", absent, len(keys), name), "")
	}
	return err
}

// getTarget is the listener that the configuration names.
func (p *program) getTarget(o getOptions) (getOptions, error) {
	c, err := p.loadConfig()
	if err != nil {
		return o, err
	}
	address := c.Listen.Catalog
	if guarded(c, http.NotFoundHandler()) != nil && c.Listen.Admin != "" || address == "" {
		address = c.Listen.Admin
	}
	if address == "" {
		return o, couldNot(errors.New("the configuration has no listener"), "say --url http://host:port")
	}
	o.url = "http://" + address
	if o.token == "" {
		o.token = string(c.Tokens.Write)
		if c.Tokens.Read != "" {
			o.token = string(c.Tokens.Read)
		}
	}
	return o, nil
}

// askRows asks a process for the rows of keys.
func askRows(ctx context.Context, o getOptions, ident table.Ident, keys []string) (out lookupAnswer, err error) {
	body, err := json.Marshal(keys)
	if err != nil {
		return out, err
	}
	namespace, name := strings.Join(ident[:len(ident)-1], "."), ident[len(ident)-1]
	at := fmt.Sprintf("%s/v1/tables/%s/%s/rows", strings.TrimSuffix(o.url, "/"), url.PathEscape(namespace),
		url.PathEscape(name))
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, at, bytes.NewReader(body))
	if err != nil {
		return out, err
	}
	if o.token != "" {
		request.Header.Set("Authorization", "Bearer "+o.token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return out, couldNot(err, "start 'firth run', or say --url of the process that ingests the table")
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, rowsBytesMax))
	if err != nil {
		return out, fmt.Errorf("read the answer of %s: %w", at, err)
	}
	if response.StatusCode != http.StatusOK {
		var fault struct {
			Error struct {
				Message string `json:"message"`
			} `json:"error"`
		}
		if json.Unmarshal(answer, &fault) != nil || fault.Error.Message == "" {
			return out, fmt.Errorf("%s answered %s", at, response.Status)
		}
		return out, errors.New(fault.Error.Message)
	}
	if err := json.Unmarshal(answer, &out); err != nil {
		return out, fmt.Errorf("read the answer of %s: %w", at, err)
	}
	return out, nil
}

// rowsBytesMax bounds an answer.
const rowsBytesMax = 1 << 30
