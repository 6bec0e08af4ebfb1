// Package httpapi is the HTTP side of the Studio: operations (one file a
// resource), the one error envelope, sign-in and permissions, idempotent writes,
// the OpenAPI document, and the page.
//
// Operations are written code first with huma: typed input and output, from which
// validation and the document come. Every operation declares its permission,
// whether it is audited and idempotent, and how large a body it takes; a test
// walks the document and fails on one that does not. Writes are HTTP, never socket
// events.
//
// The package knows the domains, and neither the queue nor the executors.
package httpapi
