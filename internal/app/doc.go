// Package app puts the Studio together: one file a role, and the commands that
// parse flags and call them. It is the only package that may import everything;
// nothing imports it but main.
package app
