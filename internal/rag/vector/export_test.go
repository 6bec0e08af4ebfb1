package vector

import "time"

// Loadings tells how many indexes were loaded.
func (e *Exact) Loadings() int { return int(e.Stats().Loads) }

// Hurry makes loadings wait no longer than that for room.
func (e *Exact) Hurry(patience time.Duration) { e.cache.patience = patience }
