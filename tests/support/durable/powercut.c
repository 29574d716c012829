/* Preloaded into a process: keeps beside the real files what a disk would hold after a power cut at this moment, that
 * is, nothing that was not synced. At each fsync or fdatasync of a file its content is copied to
 * $POWERCUT_IMAGE/<inode>; at each fsync of a folder its names are listed in $POWERCUT_IMAGE/names.<inode> with the
 * inode that each has. support/durable/powercut.py makes a folder of that again. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *image(void) { return getenv("POWERCUT_IMAGE"); }

static void keep_file(int fd, ino_t inode) {
    char temporary[4096], kept[4096], buffer[65536];
    snprintf(temporary, sizeof temporary, "%s/.%lu.%d", image(), (unsigned long)inode, (int)gettid());
    snprintf(kept, sizeof kept, "%s/%lu", image(), (unsigned long)inode);
    int out = open(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    /* The descriptor may be open for writing only. */
    char self[64];
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    int in = open(self, O_RDONLY);
    if (out < 0 || in < 0) abort();
    ssize_t got;
    while ((got = read(in, buffer, sizeof buffer)) > 0)
        if (write(out, buffer, got) != got) abort();
    close(in);
    close(out);
    if (rename(temporary, kept) != 0) abort();
}

static void keep_names(int fd, ino_t inode) {
    char temporary[4096], kept[4096];
    snprintf(temporary, sizeof temporary, "%s/.names.%lu.%d", image(), (unsigned long)inode, (int)gettid());
    snprintf(kept, sizeof kept, "%s/names.%lu", image(), (unsigned long)inode);
    FILE *out = fopen(temporary, "w");
    DIR *folder = fdopendir(openat(fd, ".", O_RDONLY | O_DIRECTORY));
    if (out == NULL || folder == NULL) abort();
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            fprintf(out, "%lu %s\n", (unsigned long)entry->d_ino, entry->d_name);
    closedir(folder);
    fclose(out);
    if (rename(temporary, kept) != 0) abort();
}

static int synced(const char *name, int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    int result = real(fd);
    struct stat about;
    if (result == 0 && image() != NULL && fstat(fd, &about) == 0) {
        if (S_ISDIR(about.st_mode)) keep_names(fd, about.st_ino);
        else if (S_ISREG(about.st_mode)) keep_file(fd, about.st_ino);
    }
    return result;
}

int fsync(int fd) { return synced("fsync", fd); }
int fdatasync(int fd) { return synced("fdatasync", fd); }
