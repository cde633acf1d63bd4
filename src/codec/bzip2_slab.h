/*
 * Memory for packing a block of less than 100,000 bytes, kept between blocks;
 * no more than a few megabytes are. Any thread, one at a time for each slab.
 */
#ifndef BZIP2_SLAB_H
#define BZIP2_SLAB_H

struct slab;

struct slab *slab_take(void);           /* NULL: no memory */
void slab_give(struct slab *s);         /* and all that came of it */
void slab_clear(struct slab *s);        /* all that came of it is free */

/* As libbz2 wants bzalloc and bzfree; its `opaque` is the slab. */
void *slab_alloc(void *slab, int n, int size);
void slab_free(void *slab, void *p);

#endif
