// Package drive reads sources that are folders of Google Drive, as a service account
// that the folder is shared with.
//
// It must not know where sources are stored. Which addresses may be reached is decided by
// the client that it is given, for the API as well as for the address of tokens, which
// a service account's file names.
//
// A synchronisation lists the folder and those in it, page by page; files are fetched
// when they are read. Google's documents are exported: texts as docx, tables as
// xlsx, slides as pptx, scripts as json. Shortcuts are left out, since what
// they lead to may be anywhere. Of things with the same name in a folder the oldest keeps its
// name, the others get a number.
package drive
