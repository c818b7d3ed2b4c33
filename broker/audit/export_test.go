package audit

// OpenFileFor is OpenFile with another patience.
var OpenFileFor = openFile
