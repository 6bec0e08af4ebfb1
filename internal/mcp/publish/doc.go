// Package publish keeps which flowcharts are tools of the Studio's MCP server:
// under which name, with which description, and how long a call waits for the
// run's end.
//
// It must not know the protocol, nor how runs are started. What a tool takes is
// the input_schema of the flowchart's start node, read when it is asked for, so a
// save changes the tool at once.
//
// Invariants. A name belongs to one flowchart; the database holds that. Names of
// the server's own tools begin with llmctl_, published ones never do.
package publish
