package live

// SetManifestChunks is for tests that have no thousand chunks.
func (c *Catalog) SetManifestChunks(n uint64) { c.manifestChunks = n }
