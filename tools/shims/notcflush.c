/* LD_PRELOAD shim for lrzsz, kermit and uucp on a pty: tcflush has no effect.
 *
 * On a serial port, tcdrain waits until the last byte is sent, so a tcflush after it has nothing to discard. On a pty,
 * tcdrain returns immediately, and the tcflush discards bytes that are still in the kernel. If these are the last bytes
 * of a transfer, the other program does not notice that the transfer is complete. Without tcflush, a pty behaves like a
 * serial port.
 */

int tcflush(int fd, int queue_selector)
{
	(void)fd;
	(void)queue_selector;
	return 0;
}
