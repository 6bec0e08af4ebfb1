// Package client speaks to MCP servers: sessions over streamable HTTP, SSE and the
// standard streams of a program.
//
// It must not know where servers are kept, who asks for a tool, or what a model is.
//
// Invariants: a connection goes only where the egress rules allow, whatever names
// resolve to and wherever a server redirects; configured headers and tokens go to
// the configured origin and nowhere else; an error says in a sentence what went
// wrong, of what kind it is, and whether the server may have begun to work on what
// it was asked, so that nobody repeats a side effect unknowingly. Programs run
// with an environment of their own in a folder of their own, and are gone with
// everything that they started when their lease ends.
//
// Sessions of servers that are reached by HTTP are shared by everybody in the
// process and bounded in number; programs belong to one lease each.
package client
