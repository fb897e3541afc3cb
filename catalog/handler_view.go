package catalog

import (
	"encoding/json"
	"net/http"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/view"

	"github.com/firthlake/firth/table"
)

func viewRoutes() []route {
	return []route{
		{method: "GET", path: "namespaces/{namespace}/views", serve: listViews},
		{method: "POST", path: "namespaces/{namespace}/views", writes: true,
			serve: createView, replay: replayNamedView},
		{method: "GET", path: "namespaces/{namespace}/views/{view}", serve: loadView},
		{method: "HEAD", path: "namespaces/{namespace}/views/{view}", serve: hasView},
		{method: "POST", path: "namespaces/{namespace}/views/{view}", writes: true,
			serve: commitView, replay: loadView},
		{method: "DELETE", path: "namespaces/{namespace}/views/{view}", writes: true, serve: dropView},
		{method: "POST", path: "namespaces/{namespace}/register-view", writes: true,
			serve: registerView, replay: replayNamedView},
		{method: "POST", path: "views/rename", writes: true, serve: renameView},
	}
}

// viewIdent is the view in the path.
func (x *exchange) viewIdent() table.Ident { return identOf(x.namespace(), x.params["view"]) }

func listViews(x *exchange) (reply, error) {
	page, err := x.page()
	if err != nil {
		return reply{}, err
	}
	found, err := x.warehouse.Reads.ListViews(x.ctx(), x.namespace(), page)
	if err != nil {
		return reply{}, err
	}
	return identsReply(found, page), nil
}

func viewReply(loaded Loaded) (reply, error) {
	return reply{status: http.StatusOK, etag: etag(loaded.MetadataLocation, "view", ""), body: struct {
		MetadataLocation string            `json:"metadata-location"`
		Metadata         json.RawMessage   `json:"metadata"`
		Config           map[string]string `json:"config"`
	}{loaded.MetadataLocation, loaded.Metadata, map[string]string{}}}, nil
}

func createView(x *exchange) (reply, error) {
	var asked struct {
		Name       string             `json:"name"`
		Location   string             `json:"location"`
		Schema     *iceberg.Schema    `json:"schema"`
		Version    *view.Version      `json:"view-version"`
		Properties iceberg.Properties `json:"properties"`
	}
	if err := x.decode(&asked); err != nil {
		return reply{}, err
	}
	v, err := x.writes.CreateView(x.ctx(), identOf(x.namespace(), asked.Name), ViewSpec{
		Version: asked.Version, Schema: asked.Schema, Location: asked.Location, Properties: asked.Properties,
	})
	if err != nil {
		return reply{}, err
	}
	return viewReply(Loaded{v.MetadataLocation, v.raw})
}

// replayNamedView answers with the view whose name is in the request's body.
func replayNamedView(x *exchange) (reply, error) {
	var asked struct {
		Name string `json:"name"`
	}
	if err := x.decode(&asked); err != nil {
		return reply{}, err
	}
	return x.currentView(identOf(x.namespace(), asked.Name))
}

func loadView(x *exchange) (reply, error) { return x.currentView(x.viewIdent()) }

func (x *exchange) currentView(ident table.Ident) (reply, error) {
	loaded, err := x.warehouse.Reads.ViewJSON(x.ctx(), ident)
	if err != nil {
		return reply{}, err
	}
	return viewReply(loaded)
}

func hasView(x *exchange) (reply, error) {
	_, err := x.warehouse.Reads.ViewJSON(x.ctx(), x.viewIdent())
	return noContent, err
}

func commitView(x *exchange) (reply, error) {
	var asked struct {
		Requirements view.Requirements `json:"requirements"`
		Updates      view.Updates      `json:"updates"`
	}
	if err := x.decode(&asked); err != nil {
		return reply{}, err
	}
	v, err := x.writes.CommitView(x.ctx(), x.viewIdent(), asked.Requirements, asked.Updates)
	if err != nil {
		return reply{}, err
	}
	return viewReply(Loaded{v.MetadataLocation, v.raw})
}

func dropView(x *exchange) (reply, error) {
	return noContent, x.writes.DropView(x.ctx(), x.viewIdent())
}

func registerView(x *exchange) (reply, error) {
	var asked struct {
		Name             string `json:"name"`
		MetadataLocation string `json:"metadata-location"`
	}
	if err := x.decode(&asked); err != nil {
		return reply{}, err
	}
	v, err := x.writes.RegisterView(x.ctx(), identOf(x.namespace(), asked.Name), asked.MetadataLocation)
	if err != nil {
		return reply{}, err
	}
	return viewReply(Loaded{v.MetadataLocation, v.raw})
}

func renameView(x *exchange) (reply, error) {
	var asked renameRequest
	if err := x.decode(&asked); err != nil {
		return reply{}, err
	}
	return noContent, x.writes.RenameView(x.ctx(), asked.Source.ident(), asked.Destination.ident())
}
