-- expect: 2 "attempt to call a nil value (field 'loadlib'); scripts declare"
package.loadlib("/lib/x86_64-linux-gnu/libc.so.6", "*")
