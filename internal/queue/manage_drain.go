package queue

// SetDraining shuts or opens this process for new jobs. What runs goes on. River can
// hold back a queue for all processes, but not one process for all queues, so the
// fetches of this one find nothing to do.
func (c *Client) SetDraining(draining bool) { c.draining.Store(draining) }

// Draining tells whether this process takes no new jobs.
func (c *Client) Draining() bool { return c.draining.Load() }

// takes reports whether this process may take jobs.
func (c *Client) takes() bool { return c.o.Fresh() && !c.Draining() }
