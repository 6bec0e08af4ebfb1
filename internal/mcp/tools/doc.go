// Package tools is what models may use: the tools of chosen MCP servers, as far as
// these allow them, and the built-in ones. It implements the tool loop's Toolset.
//
// It must not know whose loop it is. Names of tools are made fit for every provider
// here and nowhere else: the server's key, two underscores, the tool's name.
package tools
