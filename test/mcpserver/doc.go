// Package mcpserver tests the Studio's MCP server from outside: the built program,
// the official TypeScript client and the Inspector's command line against llmctl mcp,
// against two replicas of it behind a round robin, and against /api/mcp; and the
// start-up gate against a server whose database is not there.
package mcpserver
