// Package mcp tests the client of MCP servers against servers that are made with the
// official TypeScript SDK, over each transport.
package mcp
