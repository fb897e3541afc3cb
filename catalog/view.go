package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/view"

	"github.com/firthlake/firth/table"
)

// View is one view at one metadata version, an immutable value.
type View struct {
	Ident            table.Ident
	Metadata         view.Metadata
	MetadataLocation string
	raw              []byte
}

// ViewSpec is what a new view shall be.
type ViewSpec struct {
	Version    *view.Version
	Schema     *iceberg.Schema
	Location   string
	Properties iceberg.Properties
}

// CreateView makes a view.
func (c *Catalog) CreateView(ctx context.Context, ident table.Ident, spec ViewSpec) (*View, error) {
	v, err := c.newView(ctx, ident, spec)
	if err == nil {
		err = c.applyView(ctx, v, viewCreateOp(v))
	}
	if err != nil {
		return nil, fmt.Errorf("create view %s: %w", table.FormatIdent(ident), err)
	}
	return v, nil
}

func viewCreateOp(v *View) Op {
	return CreateEntry{Entry: Entry{
		Ident: v.Ident, Kind: ObjectView,
		Location: canonicalLocation(v.Metadata.Location()), MetadataLocation: v.MetadataLocation,
	}}
}

// applyView makes a written view count, or removes its file if that is known to have failed.
func (c *Catalog) applyView(ctx context.Context, v *View, op Op) error {
	err := c.store.Apply(ctx, op)
	if err != nil && !errors.Is(err, table.ErrStateUnknown) {
		c.removeFiles(ctx, v.MetadataLocation)
	}
	return err
}

func (c *Catalog) newView(ctx context.Context, ident table.Ident, spec ViewSpec) (*View, error) {
	if err := c.checkFree(ctx, ObjectView, ident); err != nil {
		return nil, err
	}
	if spec.Schema == nil || spec.Version == nil {
		return nil, refused("view %s has no schema or no version", table.FormatIdent(ident))
	}
	location, err := c.chooseLocation(ctx, ident, spec.Location)
	if err != nil {
		return nil, err
	}
	metadata, err := view.NewMetadataWithUUID(spec.Version, spec.Schema, location, spec.Properties, c.opts.NewID())
	if err != nil {
		return nil, invalid(ObjectView, "build the view's metadata", err)
	}
	return c.writeView(ctx, ident, metadata, "")
}

// writeView writes the metadata file that follows the one at current.
func (c *Catalog) writeView(
	ctx context.Context, ident table.Ident, metadata view.Metadata, current string,
) (*View, error) {
	if err := c.checkLocation(metadata.Location()); err != nil {
		return nil, err
	}
	folder, err := c.metadataFolder(metadata.Location(), metadata.Properties())
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(metadata)
	if err != nil {
		return nil, refused("encode the view's metadata: %v", err)
	}
	parsed, err := view.ParseMetadataBytes(raw)
	if err != nil {
		return nil, refused("the view's metadata is not valid: %v", err)
	}
	v := &View{Ident: ident, Metadata: parsed, MetadataLocation: c.nextFile(folder, current), raw: raw}
	return v, c.writeFile(ctx, v.MetadataLocation, raw)
}

// LoadView returns a view at its newest version.
func (c *Catalog) LoadView(ctx context.Context, ident table.Ident) (*View, error) {
	v, _, err := c.loadView(ctx, ident)
	if err != nil {
		return nil, fmt.Errorf("load view %s: %w", table.FormatIdent(ident), err)
	}
	return v, nil
}

func (c *Catalog) loadView(ctx context.Context, ident table.Ident) (*View, Entry, error) {
	entry, err := c.entry(ctx, ObjectView, ident)
	if err != nil {
		return nil, Entry{}, err
	}
	v, err := c.readView(ctx, ident, entry.MetadataLocation)
	return v, entry, err
}

func (c *Catalog) readView(ctx context.Context, ident table.Ident, location string) (*View, error) {
	raw, err := c.readFile(ctx, location)
	if err != nil {
		return nil, err
	}
	metadata, err := view.ParseMetadataBytes(raw)
	if err != nil {
		return nil, fmt.Errorf("parse view metadata %s: %w", location, err)
	}
	return &View{Ident: ident, Metadata: metadata, MetadataLocation: location, raw: raw}, nil
}

// CommitView applies updates to a view if every requirement holds, and returns the new version.
func (c *Catalog) CommitView(
	ctx context.Context, ident table.Ident, requirements []view.Requirement, updates []view.Update,
) (*View, error) {
	v, err := c.commitView(ctx, ident, requirements, updates)
	if err != nil {
		return nil, fmt.Errorf("commit view %s: %w", table.FormatIdent(ident), err)
	}
	return v, nil
}

func (c *Catalog) commitView(
	ctx context.Context, ident table.Ident, requirements []view.Requirement, updates []view.Update,
) (*View, error) {
	base, entry, err := c.loadView(ctx, ident)
	if err != nil {
		return nil, unchanged("load the view", err)
	}
	for _, requirement := range requirements {
		if err := requirement.Validate(base.Metadata); err != nil {
			return nil, &Error{Kind: table.ErrConflict, Object: ObjectView, Text: "requirement failed: " + err.Error()}
		}
	}
	if len(updates) == 0 {
		return base, nil
	}
	metadata, err := updateView(base.Metadata, updates)
	if err != nil {
		return nil, invalid(ObjectView, "apply the updates", err)
	}
	next, err := c.writeView(ctx, ident, metadata, base.MetadataLocation)
	if err != nil {
		return nil, err
	}
	op := SwapEntry{Ident: ident, Kind: ObjectView, From: base.MetadataLocation, To: next.MetadataLocation}
	if location := canonicalLocation(metadata.Location()); location != entry.Location {
		op.Location = location
	}
	return next, c.applyView(ctx, next, op)
}

func updateView(base view.Metadata, updates []view.Update) (view.Metadata, error) {
	builder, err := view.MetadataBuilderFromBase(base)
	if err != nil {
		return nil, err
	}
	for _, update := range updates {
		if err := update.Apply(builder); err != nil {
			return nil, err
		}
	}
	built, err := builder.Build()
	if err != nil {
		return nil, err
	}
	return built.Metadata, nil
}

// RegisterView gives a name to a view whose metadata file exists already.
func (c *Catalog) RegisterView(ctx context.Context, ident table.Ident, metadataLocation string) (*View, error) {
	err := c.checkFree(ctx, ObjectView, ident)
	if err == nil {
		err = c.checkLocation(metadataLocation)
	}
	var v *View
	if err == nil {
		v, err = c.readView(ctx, ident, metadataLocation)
	}
	if err == nil {
		err = c.checkLocation(v.Metadata.Location())
	}
	if err == nil {
		err = c.store.Apply(ctx, viewCreateOp(v))
	}
	if err != nil {
		return nil, fmt.Errorf("register view %s: %w", table.FormatIdent(ident), err)
	}
	return v, nil
}

// DropView removes a view from the catalog and keeps its files.
func (c *Catalog) DropView(ctx context.Context, ident table.Ident) error {
	return c.drop(ctx, ObjectView, ident)
}

// RenameView gives a view another name.
func (c *Catalog) RenameView(ctx context.Context, from, to table.Ident) error {
	return c.rename(ctx, ObjectView, from, to)
}

// ListViews lists the views of a namespace in order of name.
func (c *Catalog) ListViews(ctx context.Context, namespace Namespace, page Page) ([]table.Ident, error) {
	return c.list(ctx, ObjectView, namespace, page)
}

// ViewJSON returns a view at its newest version as JSON.
func (c *Catalog) ViewJSON(ctx context.Context, ident table.Ident) (Loaded, error) {
	v, _, err := c.loadView(ctx, ident)
	if err != nil {
		return Loaded{}, err
	}
	return Loaded{MetadataLocation: v.MetadataLocation, Metadata: v.raw}, nil
}
