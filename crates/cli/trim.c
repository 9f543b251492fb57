/* Gives memory back that glibc keeps.
 *
 * What a few thousand connections freed stays in its arenas, below whatever was allocated last, for as long as the process
 * runs: only malloc_trim hands such pages back to the system. It cannot be called from Rust without `unsafe`, so a thread
 * of its own does, once enough has been freed since the last time. Where nothing is freed it costs a look every few
 * seconds.
 */
#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

enum { EVERY_SECONDS = 5, WORTH_IT = 8 << 20 };

static void *give_back(void *unused) {
    (void)unused;
    const struct timespec pause = {.tv_sec = EVERY_SECONDS};
    /* Free and given back already: malloc_trim leaves it in the arenas' lists. */
    size_t given = 0;
    for (;;) {
        nanosleep(&pause, NULL);
        size_t free_now = mallinfo2().fordblks;
        if (free_now < given) {
            given = free_now;
        } else if (free_now - given >= WORTH_IT) {
            malloc_trim(0);
            given = mallinfo2().fordblks;
        }
    }
    return NULL;
}

__attribute__((constructor)) static void begin(void) {
    sigset_t all, before;
    pthread_attr_t attributes;
    pthread_t thread;
    /* Signals are for the program's own threads. */
    sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0) {
        return;
    }
    if (pthread_attr_init(&attributes) == 0) {
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        pthread_attr_setstacksize(&attributes, 64 << 10);
        /* Without it the process only keeps more memory. */
        (void)pthread_create(&thread, &attributes, give_back, NULL);
        pthread_attr_destroy(&attributes);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}
