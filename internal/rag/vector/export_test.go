package vector

// Loadings tells how many indexes were loaded.
func (e *Exact) Loadings() int {
	e.cache.mu.Lock()
	defer e.cache.mu.Unlock()
	return e.cache.loaded
}
