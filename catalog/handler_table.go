package catalog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/apache/iceberg-go"
	icetable "github.com/apache/iceberg-go/table"

	"github.com/firthlake/firth/table"
)

func tableRoutes() []route {
	return []route{
		{method: "GET", path: "namespaces/{namespace}/tables", serve: listTables},
		{method: "POST", path: "namespaces/{namespace}/tables", writes: true,
			serve: createTable, replay: replayNamedTable},
		{method: "GET", path: "namespaces/{namespace}/tables/{table}", serve: loadTable},
		{method: "HEAD", path: "namespaces/{namespace}/tables/{table}", serve: hasTable},
		{method: "POST", path: "namespaces/{namespace}/tables/{table}", writes: true,
			serve: commitTable, replay: loadTable},
		{method: "DELETE", path: "namespaces/{namespace}/tables/{table}", writes: true, serve: dropTable},
		{method: "GET", path: "namespaces/{namespace}/tables/{table}/credentials", serve: tableCredentials},
		{method: "POST", path: "namespaces/{namespace}/tables/{table}/metrics", serve: takeMetrics},
		{method: "POST", path: "namespaces/{namespace}/register", writes: true,
			serve: registerTable, replay: replayNamedTable},
		{method: "POST", path: "tables/rename", writes: true, serve: renameTable},
		{method: "POST", path: "transactions/commit", writes: true, serve: commitTransaction},
	}
}

// ident is the table in the path.
func (x *exchange) ident() table.Ident { return identOf(x.namespace(), x.params["table"]) }

func listTables(x *exchange) (reply, error) {
	page, err := x.page()
	if err != nil {
		return reply{}, err
	}
	found, err := x.warehouse.Reads.ListTables(x.ctx(), x.namespace(), page)
	if err != nil {
		return reply{}, err
	}
	return identsReply(found, page), nil
}

type createTableRequest struct {
	Name          string                 `json:"name"`
	Location      string                 `json:"location"`
	Schema        *iceberg.Schema        `json:"schema"`
	PartitionSpec *iceberg.PartitionSpec `json:"partition-spec"`
	WriteOrder    *icetable.SortOrder    `json:"write-order"`
	StageCreate   bool                   `json:"stage-create"`
	Properties    iceberg.Properties     `json:"properties"`
}

func createTable(x *exchange) (reply, error) {
	var asked createTableRequest
	if err := x.decode(&asked); err != nil {
		return reply{}, err
	}
	ident := identOf(x.namespace(), asked.Name)
	spec := TableSpec{
		Schema: asked.Schema, PartitionSpec: asked.PartitionSpec, SortOrder: asked.WriteOrder,
		Location: asked.Location, Properties: asked.Properties,
	}
	if !asked.StageCreate {
		v, err := x.writes.createVersion(x.ctx(), ident, spec)
		if err != nil {
			return reply{}, err
		}
		return x.tableReply(ident, Loaded{v.location, v.raw})
	}
	staged, err := x.writes.StageTable(x.ctx(), ident, spec)
	if err != nil {
		return reply{}, err
	}
	raw, err := json.Marshal(staged.Metadata())
	if err != nil {
		return reply{}, err
	}
	return x.tableReply(ident, Loaded{"", raw})
}

// replayNamedTable answers with the table whose name is in the request's body.
func replayNamedTable(x *exchange) (reply, error) {
	var asked struct {
		Name string `json:"name"`
	}
	if err := x.decode(&asked); err != nil {
		return reply{}, err
	}
	return x.currentTable(identOf(x.namespace(), asked.Name))
}

func loadTable(x *exchange) (reply, error) { return x.currentTable(x.ident()) }

func (x *exchange) currentTable(ident table.Ident) (reply, error) {
	loaded, err := x.warehouse.Reads.TableJSON(x.ctx(), ident)
	if err != nil {
		return reply{}, err
	}
	config, err := x.clientConfig(ident, loaded.Metadata)
	if err != nil {
		return reply{}, err
	}
	tag := etag(loaded.MetadataLocation, x.snapshots(), config.keys)
	if x.request.Method == http.MethodGet && matchesTag(x.request.Header.Get("If-None-Match"), tag) {
		return reply{status: http.StatusNotModified, etag: tag}, nil
	}
	return x.tableResult(loaded, config)
}

// snapshots is which snapshots the client wants: "all" or "refs".
func (x *exchange) snapshots() string {
	if x.request.Method == http.MethodGet && x.request.URL.Query().Get("snapshots") == "refs" {
		return "refs"
	}
	return "all"
}

// etag tells one answer about a table from another: those with other keys are others. It cannot be traced back to the
// location.
func etag(metadataLocation, snapshots, keys string) string {
	sum := sha256.Sum256([]byte(snapshots + "\n" + metadataLocation + "\n" + keys))
	return `"` + hex.EncodeToString(sum[:16]) + `"`
}

// matchesTag compares weakly, as RFC 9110 wants it for If-None-Match.
func matchesTag(header, tag string) bool {
	for candidate := range strings.SplitSeq(header, ",") {
		candidate = strings.TrimPrefix(strings.TrimSpace(candidate), "W/")
		if candidate == tag || candidate == "*" {
			return true
		}
	}
	return false
}

func (x *exchange) tableReply(ident table.Ident, loaded Loaded) (reply, error) {
	config, err := x.clientConfig(ident, loaded.Metadata)
	if err != nil {
		return reply{}, err
	}
	return x.tableResult(loaded, config)
}

// tableResult is the protocol's LoadTableResult. The metadata goes out as it was stored, so nothing is
// lost that this version of firth does not know.
func (x *exchange) tableResult(loaded Loaded, config clientConfig) (reply, error) {
	metadata := loaded.Metadata
	snapshots := x.snapshots()
	if snapshots == "refs" {
		trimmed, err := onlyReferenced(metadata)
		if err != nil {
			return reply{}, err
		}
		metadata = trimmed
	}
	answer := reply{status: http.StatusOK}
	var head bytes.Buffer
	head.WriteByte('{')
	if loaded.MetadataLocation != "" {
		head.WriteString(`"metadata-location":` + quote(loaded.MetadataLocation) + `,`)
		answer.etag = etag(loaded.MetadataLocation, snapshots, config.keys)
	}
	head.WriteString(`"metadata":`)
	head.Write(metadata)
	tail, err := json.Marshal(config)
	if err != nil {
		return reply{}, err
	}
	head.WriteByte(',')
	head.Write(tail[1:])
	answer.raw = head.Bytes()
	return answer, nil
}

func quote(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic("BUG: encode a string: " + err.Error())
	}
	return string(quoted)
}

// onlyReferenced drops the snapshots that no branch or tag points to.
func onlyReferenced(metadata []byte) ([]byte, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(metadata, &fields); err != nil {
		return nil, err
	}
	var refs map[string]struct {
		SnapshotID int64 `json:"snapshot-id"`
	}
	var snapshots []json.RawMessage
	for name, into := range map[string]any{"refs": &refs, "snapshots": &snapshots} {
		if raw, ok := fields[name]; ok {
			if err := json.Unmarshal(raw, into); err != nil {
				return nil, err
			}
		}
	}
	wanted := map[int64]bool{}
	for _, ref := range refs {
		wanted[ref.SnapshotID] = true
	}
	kept := []json.RawMessage{}
	for _, raw := range snapshots {
		var snapshot struct {
			ID int64 `json:"snapshot-id"`
		}
		if err := json.Unmarshal(raw, &snapshot); err != nil {
			return nil, err
		}
		if wanted[snapshot.ID] {
			kept = append(kept, raw)
		}
	}
	encoded, err := json.Marshal(kept)
	if err != nil {
		return nil, err
	}
	fields["snapshots"] = encoded
	return json.Marshal(fields)
}

func hasTable(x *exchange) (reply, error) {
	return noContent, x.warehouse.Reads.HasTable(x.ctx(), x.ident())
}

type commitRequest struct {
	Identifier   *identBody            `json:"identifier"`
	Requirements icetable.Requirements `json:"requirements"`
	Updates      icetable.Updates      `json:"updates"`
}

func commitTable(x *exchange) (reply, error) {
	var asked commitRequest
	if err := x.decode(&asked); err != nil {
		return reply{}, err
	}
	change := TableChange{Ident: x.ident(), Requirements: asked.Requirements, Updates: asked.Updates}
	versions, err := x.writes.commit(x.ctx(), []TableChange{change})
	if err != nil {
		return reply{}, err
	}
	return x.tableReply(change.Ident, Loaded{versions[0].location, versions[0].raw})
}

func commitTransaction(x *exchange) (reply, error) {
	var asked struct {
		Changes []commitRequest `json:"table-changes"`
	}
	if err := x.decode(&asked); err != nil {
		return reply{}, err
	}
	var changes []TableChange
	for _, change := range asked.Changes {
		if change.Identifier == nil {
			return reply{}, refused("malformed request: a table change has no identifier")
		}
		changes = append(changes, TableChange{
			Ident: change.Identifier.ident(), Requirements: change.Requirements, Updates: change.Updates,
		})
	}
	return noContent, x.writes.CommitTransaction(x.ctx(), changes)
}

func dropTable(x *exchange) (reply, error) {
	if strings.EqualFold(x.request.URL.Query().Get("purgeRequested"), "true") {
		return noContent, x.writes.PurgeTable(x.ctx(), x.ident())
	}
	return noContent, x.writes.DropTable(x.ctx(), x.ident())
}

// takeMetrics takes a client's report and drops it.
func takeMetrics(*exchange) (reply, error) { return noContent, nil }

func registerTable(x *exchange) (reply, error) {
	var asked struct {
		Name             string `json:"name"`
		MetadataLocation string `json:"metadata-location"`
		Overwrite        bool   `json:"overwrite"`
	}
	if err := x.decode(&asked); err != nil {
		return reply{}, err
	}
	ident := identOf(x.namespace(), asked.Name)
	register := x.writes.RegisterTable
	if asked.Overwrite {
		register = x.writes.ReplaceTable
	}
	if _, err := register(x.ctx(), ident, asked.MetadataLocation); err != nil {
		return reply{}, err
	}
	return x.currentTable(ident)
}

type renameRequest struct {
	Source      identBody `json:"source"`
	Destination identBody `json:"destination"`
}

func renameTable(x *exchange) (reply, error) {
	var asked renameRequest
	if err := x.decode(&asked); err != nil {
		return reply{}, err
	}
	return noContent, x.writes.RenameTable(x.ctx(), asked.Source.ident(), asked.Destination.ident())
}
