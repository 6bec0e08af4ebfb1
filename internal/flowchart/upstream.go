package flowchart

import "slices"

// ReadsUpstream reports whether the templates and conditions of a node read
// upstream, so that a large output is loaded only for those that do.
func (c *Compiled) ReadsUpstream(nodeID string) (bool, error) {
	p, err := c.plan(nodeID)
	if err != nil {
		return false, err
	}
	return slices.Contains(p.uses.free, rootUpstream), nil
}
