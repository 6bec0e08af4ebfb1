// Package servers keeps the MCP servers that models may use the tools of: custom
// ones, which people enter, and integrated ones, which follow from what is
// configured of other systems.
//
// It must not know how a server is spoken to (package client does) nor who calls
// tools.
//
// Invariants: values of headers and environment variables, OAuth clients and
// tokens are sealed before they are stored and leave the package only to make a
// connection. A secret belongs to the origin (or the command) that it was entered
// for: when a server moves elsewhere, it is removed unless it is given anew. Keys
// of integrated servers are reserved, whether or not these exist.
package servers
