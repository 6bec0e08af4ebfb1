package index

import "context"

// SweepNow is Sweep without grace for what was replaced.
func (s *Service) SweepNow(ctx context.Context) (Swept, error) { return s.sweep(ctx, 0) }
