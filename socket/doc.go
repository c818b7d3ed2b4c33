// Package socket makes what goes over sockets in small pieces cheap: heartbeats, and looks at a database.
package socket
