package document

// Bounded is looked at by itself: a document with so many blocks takes seconds to read.
var Bounded = bounded
