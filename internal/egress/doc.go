// Package egress decides which addresses the Studio connects to on behalf of users.
// It must not know what for: http nodes, MCP servers and authorization servers have
// a list each.
//
// Invariant: what is checked is the address that is really connected to, when it is
// dialled, so neither names that resolve differently a second time nor redirects
// get around it.
package egress
