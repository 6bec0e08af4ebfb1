// Package server is the Studio's own MCP server: its tools, resources and published
// flowcharts over streamable HTTP. llmctl mcp serves it on an address of its own,
// the API mounts it at /api/mcp.
//
// Like internal/httpapi it is a transport: it checks who asks and what they may,
// reads arguments, calls the domains in one transaction with the audit entry, and
// words the answer, here for a model. It must not hold rules of a domain, know
// the queue or the executors, or go through the HTTP API.
//
// Invariants. No state on a request path: every request stands for itself, so any
// replica answers any request. initialize and ping (and server/discover, their
// successor) need neither key nor database; everything else needs an API key, and
// a tool needs the permission that the same operation of the HTTP API needs.
// Cookies count for nothing here. A tool either answers within its limits or with
// an error that says what to do next. The domains arrive late (Attach): until then
// every tool says so.
//
// A group of tools is one file: it registers itself in toolsets.
package server
