/*
 * XML documents from the server, which may be hostile: bounded in depth and in
 * the length of texts, without document types and so without entities.
 */
#ifndef FSP_S3_XML_H
#define FSP_S3_XML_H

#include <stddef.h>

struct fsp_buf;

/*
 * Called at the end of each element with its path, such as "Error/Code", and
 * the text directly in it. Non-zero stops, and s3_xml_parse() returns it.
 */
typedef int (*s3_xml_each)(void *arg, const char *path, const char *text);

/* 0, -EIO for what is no such document, -ENOMEM, or what `each` returned. */
int s3_xml_parse(const void *doc, size_t len, s3_xml_each each, void *arg);

/* Appends the text with what XML reserves escaped. */
int s3_xml_text(struct fsp_buf *out, const char *text);

#endif
