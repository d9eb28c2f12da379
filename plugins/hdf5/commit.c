/*
 * commit.c -- write aside, sync, rename, sync the folder: see commit.h.
 */
#include "commit.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int32_t commit_fail(const evla_host *h, const char *path, const char *wanted, int error)
{
    char why[128];
    const char *text = strerror_r(error, why, sizeof why); /* the GNU one */
    const char *remedy = error == ENOSPC || error == EDQUOT || error == EFBIG
                             ? "free some space, or give the stage a path on another disk"
                         : error == EACCES || error == EPERM || error == EROFS
                             ? "give the stage a path that may be written"
                             : "check the disk";
    return say(h, EVLA_E_IO,
               "hdf5: %s: could not %s (%s); %s, then run again: what was committed "
               "is kept",
               path, wanted, text, remedy);
}

static int32_t temp_name(const evla_host *h, const char *path, char *out, size_t size)
{
    if ((size_t)snprintf(out, size, "%s" COMMIT_TAIL, path) >= size)
        return say(h, EVLA_E_LIMIT, "hdf5: %s: the path has more than %zu bytes", path,
                   size);
    return EVLA_OK;
}

int32_t commit_begin(const evla_host *h, const char *path, int *fd)
{
    char temp[4096];
    int32_t st = temp_name(h, path, temp, sizeof temp);
    if (st) return st;
    *fd = open(temp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
    return *fd < 0 ? commit_fail(h, temp, "create it", errno) : EVLA_OK;
}

void commit_abort(const char *path, int fd)
{
    char temp[4096];
    close(fd);
    if ((size_t)snprintf(temp, sizeof temp, "%s" COMMIT_TAIL, path) < sizeof temp)
        unlink(temp);
}

int32_t commit_end(const evla_host *h, const char *path, int fd)
{
    char temp[4096], folder[4096];
    int32_t st = temp_name(h, path, temp, sizeof temp);
    if (!st && fsync(fd)) st = commit_fail(h, temp, "sync it to the disk", errno);
    if (!st && rename(temp, path))
        st = commit_fail(h, temp, "rename it to its final name", errno);
    if (st) {
        commit_abort(path, fd);
        return st;
    }
    close(fd);
    snprintf(folder, sizeof folder, "%.*s", (int)folder_length(path), path);
    return commit_folder(h, *folder ? folder : ".");
}

int32_t commit_folder(const evla_host *h, const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), error = 0;
    if (fd < 0 || fsync(fd)) error = errno;
    if (fd >= 0) close(fd);
    return error ? commit_fail(h, folder, "sync the folder", error) : EVLA_OK;
}
