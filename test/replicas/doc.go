// Package replicas tests several llmctl serve on one database behind a load balancer
// that knows nothing of sessions, with the official Socket.IO client.
package replicas
