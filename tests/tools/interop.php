<?php
/*
 * What the PHP FileSpace library does, statement by statement: no transaction,
 * the rows over PDO, the objects by curl.
 *
 *   interop.php DATABASE BUCKET PREFIX KEY IV CHARSET COMMAND ARGUMENT...
 *
 *   space SPACE                   createSpace
 *   upload SPACE NAME FILE        created_at is FILE's mtime
 *   race SPACE NAME FILE...       uploads at once: each step of all, then the next
 *   loop SPACE DIR                uploads what it leaves in DIR, until DIR/.stop,
 *                                 and reads it, or what a mount wrote over it
 *   delete | has | get | download SPACE NAME
 *   list SPACE
 */
error_reporting(E_ALL);
set_error_handler(function ($no, $text, $file, $line) {
    throw new ErrorException($text, 0, $no, $file, $line);
});

class Library
{
    private $pdo;

    public function __construct($database, private $bucket, private $prefix,
        private $key, private $iv, $charset)
    {
        $this->pdo = new PDO('mysql:unix_socket='
            . getenv('FSP_TEST_MYSQL_SOCKET') . ";dbname=$database;charset=$charset",
            getenv('FSP_TEST_MYSQL_USER'), getenv('FSP_TEST_MYSQL_PASSWORD'),
            [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
    }

    private function run($sql, $values)
    {
        $statement = $this->pdo->prepare($sql);
        $statement->execute($values);
        return $statement;
    }

    private function object($hash, ...$options)
    {
        $command = array_merge(['curl', '-sS', '--fail', '--max-time', '60',
            '--cacert', getenv('FSP_TEST_S3_CA'),
            '--aws-sigv4', 'aws:amz:' . getenv('FSP_TEST_S3_REGION') . ':s3',
            '-u', getenv('FSP_TEST_S3_ACCESS_KEY') . ':'
                . getenv('FSP_TEST_S3_SECRET_KEY'),
            '-H', 'x-amz-content-sha256: UNSIGNED-PAYLOAD'], $options,
            [getenv('FSP_TEST_S3_ENDPOINT') . "/{$this->bucket}/{$this->prefix}$hash"]);
        $pipes = [];
        $curl = proc_open($command, [1 => ['pipe', 'w']], $pipes);
        $out = stream_get_contents($pipes[1]);
        if (proc_close($curl) !== 0)
            throw new RuntimeException("curl failed on $hash");
        return $out;
    }

    public function createSpace($space)
    {
        $this->run('INSERT INTO filespace (space_key, name, created_at)
            VALUES (?, ?, ?)', [$space, $space, time()]);
    }

    public function close($space, $name)
    {
        $this->run('UPDATE filespace_file SET deleted_at = ? WHERE space_key = ?
            AND file_key = ? AND deleted_at = 0', [time(), $space, $name]);
    }

    public function put($file)
    {
        $temp = tempnam(sys_get_temp_dir(), 'object');
        file_put_contents($temp, openssl_encrypt(
            bzcompress(file_get_contents($file), 9), 'aes-256-cbc',
            hex2bin($this->key), OPENSSL_RAW_DATA, hex2bin($this->iv)));
        $this->object(sha1_file($file), '-X', 'PUT', '-T', $temp);
        unlink($temp);
    }

    public function insert($space, $name, $file)
    {
        $this->run('INSERT INTO filespace_file (space_key, file_key, data_hash,
            created_at, size_original, size_storage) VALUES (?, ?, ?, ?, ?, ?)',
            [$space, $name, sha1_file($file), filemtime($file), filesize($file),
                filesize($file)]);
    }

    public function upload($space, $name, $file)
    {
        clearstatcache();
        $this->close($space, $name);
        $this->put($file);
        $this->insert($space, $name, $file);
    }

    public function getFile($space, $name)
    {
        return $this->run('SELECT * FROM filespace_file WHERE space_key = ?
            AND file_key = ? AND deleted_at = 0 ORDER BY created_at DESC LIMIT 1',
            [$space, $name])->fetch(PDO::FETCH_ASSOC);
    }

    public function getFiles($space)
    {
        return $this->run('SELECT file_key FROM filespace_file WHERE space_key = ?
            AND deleted_at = 0', [$space])->fetchAll(PDO::FETCH_COLUMN);
    }

    public function download($space, $name)
    {
        $row = $this->getFile($space, $name);
        if (!$row)
            throw new RuntimeException("no file $name");
        $plain = bzdecompress(openssl_decrypt(
            $this->object($row['data_hash'], '-X', 'GET'), 'aes-256-cbc',
            hex2bin($this->key), OPENSSL_RAW_DATA, hex2bin($this->iv)));
        if (!is_string($plain) || strlen($plain) != $row['size_original'])
            throw new RuntimeException("$name is not as long as its row says");
        return $plain;
    }
}

function upload_until_stopped($library, $space, $dir)
{
    $reads = false;
    for ($n = 0; !file_exists("$dir/.stop"); $n++, clearstatcache()) {
        file_put_contents("$dir/.count", $n);
        $name = 'upload ' . $n % 7;
        file_put_contents("$dir/$name", "$name for the $n. time\n");
        $library->upload($space, $name, "$dir/$name");
        // With deleted_at NULL it finds nothing before the upgrade, and all after.
        if (!$reads && !$library->getFile($space, $name))
            continue;
        $reads = true;
        $text = $library->download($space, $name);
        if (!preg_match("/^$name (for the \d+\. time|by the mount, round \d+)\n$/D", $text))
            throw new RuntimeException("$name has '$text'");
    }
}

$library = new Library(...array_slice($argv, 1, 6));
[$command, $space] = array_slice($argv, 7, 2);
$rest = array_slice($argv, 9);
switch ($command) {
case 'space': $library->createSpace($space); break;
case 'upload': $library->upload($space, $rest[0], $rest[1]); break;
case 'loop': upload_until_stopped($library, $space, $rest[0]); break;
case 'delete': $library->close($space, $rest[0]); break;
case 'has': echo $library->getFile($space, $rest[0]) ? "yes\n" : "no\n"; break;
case 'get': echo implode(' ', array_intersect_key($library->getFile($space, $rest[0]),
    ['data_hash' => 1, 'size_original' => 1])), "\n"; break;
case 'download': echo $library->download($space, $rest[0]); break;
case 'list': echo implode("\n", $library->getFiles($space)), "\n"; break;
case 'race':
    $name = array_shift($rest);
    foreach ($rest as $file)
        $library->close($space, $name);
    foreach ($rest as $file)
        $library->put($file);
    foreach ($rest as $file)
        $library->insert($space, $name, $file);
    break;
default:
    throw new RuntimeException("no command $command");
}
