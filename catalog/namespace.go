package catalog

import (
	"context"
	"fmt"
	"maps"
	"slices"
)

// CreateNamespace makes a namespace. The namespace around it must exist.
func (c *Catalog) CreateNamespace(ctx context.Context, name Namespace, properties map[string]string) error {
	err := validateNamespace(name)
	if err == nil {
		err = c.checkNamespaceLocation(properties)
	}
	if err == nil {
		err = c.store.Apply(ctx, CreateNamespace{Name: name, Properties: properties})
	}
	if err != nil {
		return fmt.Errorf("create namespace %s: %w", name, err)
	}
	return nil
}

// checkNamespaceLocation refuses a location under which no table could be made.
func (c *Catalog) checkNamespaceLocation(properties map[string]string) error {
	location, ok := properties["location"]
	if !ok || slices.Contains(c.prefixes, canonicalLocation(location)) {
		return nil
	}
	return c.checkLocation(location)
}

// LoadNamespace returns the properties of a namespace.
func (c *Catalog) LoadNamespace(ctx context.Context, name Namespace) (map[string]string, error) {
	if err := validateNamespace(name); err != nil {
		return nil, err
	}
	entry, err := c.store.Namespace(ctx, name)
	return entry.Properties, err
}

// ListNamespaces lists the namespaces right inside parent, which is the root if it has no levels.
func (c *Catalog) ListNamespaces(ctx context.Context, parent Namespace, page Page) ([]Namespace, error) {
	if len(parent) > 0 {
		if err := validateNamespace(parent); err != nil {
			return nil, err
		}
		if _, err := c.store.Namespace(ctx, parent); err != nil {
			return nil, err
		}
	}
	return c.store.Namespaces(ctx, parent, page)
}

// PropertyChange says what UpdateNamespace did: which keys it set, which it removed, and which it was
// to remove but did not find.
type PropertyChange struct {
	Updated, Removed, Missing []string
}

// UpdateNamespace sets and removes properties of a namespace.
func (c *Catalog) UpdateNamespace(
	ctx context.Context, name Namespace, updates map[string]string, removals []string,
) (PropertyChange, error) {
	change, err := c.updateNamespace(ctx, name, updates, removals)
	if err != nil {
		return PropertyChange{}, fmt.Errorf("update namespace %s: %w", name, err)
	}
	return change, nil
}

func (c *Catalog) updateNamespace(
	ctx context.Context, name Namespace, updates map[string]string, removals []string,
) (PropertyChange, error) {
	var change PropertyChange
	if err := validateNamespace(name); err != nil {
		return change, err
	}
	if err := c.checkNamespaceLocation(updates); err != nil {
		return change, err
	}
	entry, err := c.store.Namespace(ctx, name)
	if err != nil {
		return change, err
	}
	properties := maps.Clone(entry.Properties)
	if properties == nil {
		properties = map[string]string{}
	}
	for _, key := range removals {
		if _, ok := properties[key]; ok {
			change.Removed = append(change.Removed, key)
		} else {
			change.Missing = append(change.Missing, key)
		}
		delete(properties, key)
	}
	change.Updated = slices.Sorted(maps.Keys(updates))
	maps.Copy(properties, updates)
	op := SetProperties{Name: name, Revision: entry.Revision, Properties: properties}
	return change, c.store.Apply(ctx, op)
}

// DropNamespace removes a namespace that holds nothing, else ErrNotEmpty.
func (c *Catalog) DropNamespace(ctx context.Context, name Namespace) error {
	err := validateNamespace(name)
	if err == nil {
		err = c.store.Apply(ctx, DropNamespace{Name: name})
	}
	if err != nil {
		return fmt.Errorf("drop namespace %s: %w", name, err)
	}
	return nil
}
