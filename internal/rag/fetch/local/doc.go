// Package local reads sources that are folders of this machine.
//
// It must not know who may name which folder: it is given the folders that sources may
// lie in ([Roots]), and nothing outside them is read.
//
// Invariant: every folder is opened relative to one that is open already, from the
// root on, so the borders hold at the moment of reading: a link that is put in after a
// source was saved leads nowhere, and neither does one that is swapped in during a walk.
// Links to folders are not followed; a link to a file is read if that lies in the source.
package local
